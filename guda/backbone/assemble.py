"""A model from the tensors of a checkpoint, which lie in a file or in memory."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ..config import digest
from ..errors import ModelError
from ..schedule import PREDICTIONS
from . import layout
from .checkpoint import Entry, Kind, entries_of, identify
from .stable_diffusion import StableDiffusion
from .text import Text, TextPart
from .tokenizer import clip_tokenizer

AUTO = "auto"
_V_MARK = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
_V_SPREAD = 0.09
_SMALLEST = 4.9e-8  # alpha_bar of the last step where a model's schedule ends in pure noise


def assemble(
    tensors: Mapping[str, Tensor],
    entries: Mapping[str, Entry],
    name: str,
    where: str,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    prediction: str = AUTO,
    resolution: int = 0,
    vae: Mapping[str, Tensor] | None = None,
    tokenizer: Any = None,
    layer: int | None = None,
    alpha_bar: Tensor | None = None,
) -> StableDiffusion:
    """The model that `tensors` are; `where` names them in errors.

    prediction: what the UNet predicts, "auto" to find out. resolution: pixels, 0 for the family's.
    vae: tensors of a VAE in place of the checkpoint's own. tokenizer: a folder, or None to look for
    one. layer: the text encoders' layer, counted from the end, in place of the family's.
    alpha_bar: (T,) the noise schedule in place of the family's. Raises ModelError.
    """
    kind = identify(entries, where)
    settings = kind.settings
    text = _text(tensors, kind, where, dtype, clip_tokenizer(tokenizer), layer)
    own = detect_prediction(tensors, kind)
    chosen = own if prediction == AUTO else prediction
    pixels = settings["resolution"].get(chosen, 512)
    made_vae = _vae(tensors, entries, kind, where, vae, dtype, pixels)
    factor = 2 ** (len(made_vae.config.block_out_channels) - 1)
    pipeline = SimpleNamespace(
        unet=_unet(tensors, kind, where, dtype, pixels // factor),
        vae=made_vae,
        text=text,
        scheduler=_scheduler(chosen, "ztsnr" in entries),
    )
    own_schedule = True
    if alpha_bar is not None:
        pipeline.scheduler, own_schedule = _fitting(chosen, alpha_bar)
    made = StableDiffusion(pipeline, name, device, resolution=resolution)
    made.overrides |= {"prediction": chosen} if chosen != own else {}
    if alpha_bar is not None and not own_schedule:
        made.overrides["alpha_bar"] = digest([f"{a:.6g}" for a in alpha_bar.tolist()])
    if layer is not None:
        made.overrides["layer"] = layer
    return made


def detect_prediction(tensors: Mapping[str, Tensor], kind: Kind) -> str:
    """ "epsilon" or "v_prediction".

    A key `v_pred` says so. Stable Diffusion 2.x files carry no mark: as ComfyUI does, one norm's
    bias tells, which in v models spread wider than 0.09 while they trained.
    """
    if "v_pred" in kind.entries:
        return "v_prediction"
    mark = layout.UNET + _V_MARK
    if kind.family == "sd2" and mark in kind.entries:
        spread = tensors[mark].float().std(unbiased=False)
        return "v_prediction" if spread > _V_SPREAD else "epsilon"
    return "epsilon"


def check_prediction(kind: str) -> None:
    """Raises ModelError for what is not among `schedule.PREDICTIONS`."""
    if kind not in PREDICTIONS:
        allowed = ", ".join((AUTO, *PREDICTIONS))
        raise ModelError(f"prediction is {kind!r}; choose one of: {allowed}.")


def _scheduler(prediction: str, zero_snr: bool) -> Any:
    from diffusers import DDPMScheduler  # type: ignore[attr-defined]

    check_prediction(prediction)
    scheduler: Any = DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction,  # type: ignore[arg-type]
        steps_offset=1,
        clip_sample=False,
        rescale_betas_zero_snr=zero_snr,
    )
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.clamp(min=_SMALLEST)
    return scheduler


def _fitting(prediction: str, alpha_bar: Tensor) -> tuple[Any, bool]:
    """The scheduler with this alpha_bar, and whether it is one of the families' own."""
    alpha_bar = alpha_bar.double().cpu()
    for zero_snr in (False, True):
        scheduler = _scheduler(prediction, zero_snr)
        known = scheduler.alphas_cumprod.double()
        if known.shape == alpha_bar.shape and torch.allclose(known, alpha_bar, rtol=1e-3):
            return scheduler, True
    scheduler = _scheduler(prediction, False)
    betas = 1 - alpha_bar / torch.cat([alpha_bar.new_ones(1), alpha_bar[:-1]])
    scheduler.register_to_config(trained_betas=betas.tolist())
    scheduler.alphas_cumprod = alpha_bar
    return scheduler, False


def _unet(
    tensors: Mapping[str, Tensor], kind: Kind, where: str, dtype: torch.dtype, sample_size: int
) -> Any:
    from diffusers import UNet2DConditionModel  # type: ignore[attr-defined]

    shapes = kind.shapes(layout.UNET)
    try:
        config = layout.unet_config(kind.unet, kind.settings, sample_size)
    except ValueError as error:
        raise ModelError(
            f"{where} is a variant of {kind.settings['title']} that is not supported ({error}), as "
            "SSD-1B and KOALA are; use the model that it was made from."
        ) from None
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
    names = layout.unet_names(shapes)
    _fill(unet, tensors, layout.UNET, names, where, "UNet", dtype)
    return unet


def _vae(
    tensors: Mapping[str, Tensor],
    entries: Mapping[str, Entry],
    kind: Kind,
    where: str,
    own: Mapping[str, Tensor] | None,
    dtype: torch.dtype,
    sample_size: int,
) -> Any:
    from diffusers import AutoencoderKL  # type: ignore[attr-defined]

    if own is not None:
        tensors, entries, where = own, entries_of(own), f"The VAE for {where}"
    shapes, prefix = {}, ""
    for prefix in (layout.VAE, "vae.", *(("",) if own is not None else ())):
        shapes = layout.below({k: e.shape for k, e in entries.items()}, prefix)
        if "decoder.conv_in.weight" in shapes:
            break
    else:
        if own is not None:
            raise ModelError(f"{where} is not one of Stable Diffusion's; give its usual VAE.")
        raise ModelError(
            f"{where} holds no VAE; give one beside it (the input vae of Load Base Model, or "
            "--vae FILE), such as the one that its family came with."
        )
    try:
        config = layout.vae_config(shapes, kind.settings, sample_size)
    except (KeyError, IndexError) as error:
        raise ModelError(
            f"{where} has a VAE that only decodes or is of another kind (no {error}); give a whole "
            "Stable Diffusion VAE."
        ) from None
    if config["latent_channels"] != kind.unet.in_channels:
        raise ModelError(
            f"{where} makes latents of {config['latent_channels']} channels, and the UNet takes "
            f"{kind.unet.in_channels}; give the VAE of this family."
        )
    with torch.device("meta"):
        vae = AutoencoderKL(**config)
    _fill(vae, tensors, prefix, layout.vae_names(shapes), where, "VAE", dtype)
    return vae


def _text(
    tensors: Mapping[str, Tensor],
    kind: Kind,
    where: str,
    dtype: torch.dtype,
    tokenizer: Any,
    layer: int | None,
) -> Text:
    parts = []
    for settings in kind.settings["text"]:
        for prefix in settings["prefixes"]:
            shapes = kind.shapes(prefix)
            try:
                shape = layout.text_shape(shapes, settings["layout"])
                break
            except (KeyError, ValueError):
                continue
        else:
            raise ModelError(
                f"{where} holds no text encoder ({settings['prefixes'][0]}... is missing); in "
                "ComfyUI load it with its own node and join the parts with Base Model from Graph, "
                "or give a whole checkpoint."
            )
        encoder = _text_encoder(shape, settings, tokenizer)
        names = layout.text_names(shapes, settings["layout"])
        _fill_text(encoder, tensors, prefix, dict(names), where, dtype)
        used = layer if layer is not None else settings["layer"]
        if layer is None and shape.layers == settings["layers"] - 1 and used < -1:
            used += 1  # a file that was saved without the last layer, which is not used
        parts.append(
            TextPart(
                encoder, tokenizer, used, settings["norm"], settings["pad"], settings["pooled"]
            )
        )
    return Text(parts)


def _text_encoder(shape: layout.TextShape, settings: Mapping[str, Any], tokenizer: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=max(1, shape.width // 64),
        max_position_embeddings=shape.positions,
        hidden_act=settings["hidden_act"],
        projection_dim=shape.projection or shape.width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.device("meta"):
        return (CLIPTextModelWithProjection if settings["pooled"] else CLIPTextModel)(config)


def _fill_text(
    encoder: nn.Module,
    tensors: Mapping[str, Tensor],
    prefix: str,
    names: Mapping[str, tuple[str, ...]],
    where: str,
    dtype: torch.dtype,
) -> None:
    wanted = set(encoder.state_dict())
    wrapped = "text_model." if any(k.startswith("text_model.") for k in wanted) else ""
    state: dict[str, Tensor] = {}
    for key, targets in names.items():
        targets = [t if t.startswith("text_projection") else wrapped + t for t in targets]
        if not wanted.issuperset(targets):
            continue
        value = tensors[prefix + key]
        if key == "text_projection":
            value = value.T
        state |= dict(zip(targets, value.chunk(len(targets)), strict=True))
    _assign(encoder, state, where, "text encoder", dtype)
    for name, buffer in encoder.named_buffers():  # of transformers' embeddings, not in the file
        if buffer.is_meta:
            parent, _, last = name.rpartition(".")
            positions = torch.arange(buffer.shape[-1]).expand(buffer.shape)
            encoder.get_submodule(parent).register_buffer(last, positions, persistent=False)


def _fill(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    prefix: str,
    names: Mapping[str, str],
    where: str,
    what: str,
    dtype: torch.dtype,
) -> None:
    wanted: dict[str, Tensor] = module.state_dict()
    state = {}
    for key, target in names.items():
        if target in wanted:
            value = tensors[prefix + key]
            if value.dim() == 4 and wanted[target].dim() == 2:  # a 1 x 1 convolution
                value = value[:, :, 0, 0]
            state[target] = value
    _assign(module, state, where, what, dtype)


def _assign(
    module: nn.Module, state: dict[str, Tensor], where: str, what: str, dtype: torch.dtype
) -> None:
    """Put the tensors in; copies, so that nothing shares memory with a file or another model."""
    wanted = module.state_dict()

    def problem(text: str) -> ModelError:
        return ModelError(
            f"{where} has a {what} that is not whole ({text}); download or save it again."
        )

    missing = sorted(set(wanted) - set(state))
    if missing:
        raise problem(f"{missing[0]} is missing, and {len(missing) - 1} more")
    for key, value in state.items():
        if value.shape != wanted[key].shape:
            raise problem(f"{key} has shape {tuple(value.shape)}, not {tuple(wanted[key].shape)}")
        state[key] = value.detach().to("cpu", dtype, copy=True).contiguous()
    module.load_state_dict(state, assign=True)
