"""The modules of a model, filled with a checkpoint's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ModelError, TextEncoderError
from ..text import Text, TextPart
from . import layout, text_layout
from .header import Entry, Kind, entries_of
from .values import check_values


def build_unet(
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
    plain = set(unet.state_dict())
    unknown = sorted(k for k in shapes if names.get(k) not in plain)
    if unknown:
        raise ModelError(
            f"{where} has a UNet with a tensor that a plain model has not ({unknown[0]}), as LCM "
            "and GLIGEN have, which is not supported; use the model that it was made from."
        )
    _fill(unet, tensors, layout.UNET, names, where, "UNet", dtype)
    return unet


def build_vae(
    tensors: Mapping[str, Tensor],
    entries: Mapping[str, Entry],
    kind: Kind,
    where: str,
    own: Mapping[str, Tensor] | None,
    sample_size: int,
) -> Any:
    """In float32, whatever the rest is in: it runs once per picture, and SDXL's overflows."""
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
    _fill(vae, tensors, prefix, layout.vae_names(shapes), where, "VAE", torch.float32)
    return vae


def build_text(
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
                shape = text_layout.text_shape(shapes, settings["layout"])
                break
            except (KeyError, ValueError):
                continue
        else:
            raise TextEncoderError(
                f"{where} holds no text encoder ({settings['prefixes'][0]}... is missing); in "
                "ComfyUI load it with its own node and join the parts with Base Model from Graph, "
                "or give a whole checkpoint."
            )
        encoder = _text_encoder(shape, settings, tokenizer)
        names = text_layout.text_names(shapes, settings["layout"])
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


def _text_encoder(shape: text_layout.TextShape, settings: Mapping[str, Any], tokenizer: Any) -> Any:
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
        check_values(value, prefix + key, where, "text encoder")
        if key == "text_projection":
            value = value.T
        state |= dict(zip(targets, value.chunk(len(targets)), strict=True))
    assign(encoder, state, where, "text encoder", dtype)
    place_buffers(encoder)


def place_buffers(encoder: nn.Module) -> None:
    """Fill the positions of transformers' embeddings, which are in no file."""
    for name, buffer in encoder.named_buffers():
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
            check_values(value, prefix + key, where, what)
            if value.dim() == 4 and wanted[target].dim() == 2:  # a 1 x 1 convolution
                value = value[:, :, 0, 0]
            state[target] = value
    assign(module, state, where, what, dtype)


def assign(
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
