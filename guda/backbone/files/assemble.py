"""A model from the tensors of a checkpoint, which lie in a file or in memory."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ...settings import digest
from ..stable_diffusion import StableDiffusion
from . import layout, scheduler, stated
from .header import Entry, Kind, identify
from .parts import build_text, build_unet, build_vae
from .scheduler import AUTO
from .tokenizer import clip_tokenizer
from .values import check_zeros

_V_MARK = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
_V_SPREAD = 0.09


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
    metadata: Mapping[str, str] | None = None,
) -> StableDiffusion:
    """The model that `tensors` are; `where` names them in errors.

    dtype: of the UNet and the text encoders; the VAE is float32.
    prediction: what the UNet predicts, "auto" to find out. resolution: pixels, 0 for the family's.
    vae: tensors of a VAE in place of the checkpoint's own. tokenizer: a folder, or None to look for
    one. layer: the text encoders' layer, counted from the end, in place of the family's.
    alpha_bar: (T,) the noise schedule in place of the family's. metadata: what the file says of
    itself. Raises ModelError.
    """
    kind = identify(entries, where)
    settings = kind.settings
    text = build_text(tensors, kind, where, dtype, clip_tokenizer(tokenizer), layer)
    own = detect_prediction(tensors, kind)
    told, chosen = metadata or {}, prediction
    if chosen == AUTO:
        marked = own if "v_pred" in entries else None
        chosen = stated.prediction(told, marked, where) or own
    zero_snr = stated.zero_snr(told) and "ztsnr" not in entries
    pixels = settings["resolution"].get(chosen, 512)
    made_vae = build_vae(tensors, entries, kind, where, vae, pixels)
    factor = 2 ** (len(made_vae.config.block_out_channels) - 1)
    pipeline = SimpleNamespace(
        unet=build_unet(tensors, kind, where, dtype, pixels // factor),
        vae=made_vae,
        text=text,
        scheduler=scheduler.of_family(chosen, zero_snr or "ztsnr" in entries),
    )
    check_zeros({"UNet": pipeline.unet, "VAE": made_vae, "text encoder": text.module}, where)
    own_schedule = True
    if alpha_bar is not None:
        pipeline.scheduler, own_schedule = scheduler.fitting(chosen, alpha_bar, where)
    made = StableDiffusion(pipeline, name, device, resolution=resolution)
    made.overrides |= {"prediction": chosen} if chosen != own else {}
    made.overrides |= {"zero_snr": True} if zero_snr else {}
    made.warnings = (*made.warnings, *stated.few_steps(name, told))
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
