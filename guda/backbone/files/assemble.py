"""A model from the tensors of a checkpoint, which lie in a file or in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds, or a graph: its tensors and their headers.

    where: names it in errors. metadata: what the file says of itself.
    """

    tensors: Mapping[str, Tensor]
    entries: Mapping[str, Entry]
    where: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Choices:
    """How a checkpoint is read, in place of what its family and the file itself say.

    dtype: of the UNet and the text encoders; the VAE is float32.
    prediction: what the UNet predicts, "auto" to find out. resolution: pixels, 0 for the family's.
    vae: tensors of a VAE in place of the checkpoint's own. tokenizer: a folder, or None to look for
    one. layer: the text encoders' layer, counted from the end. alpha_bar: (T,) the noise schedule.
    """

    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32
    prediction: str = AUTO
    resolution: int = 0
    vae: Mapping[str, Tensor] | None = None
    tokenizer: Any = None
    layer: int | None = None
    alpha_bar: Tensor | None = None


def assemble(checkpoint: Checkpoint, name: str, choices: Choices) -> StableDiffusion:
    """The model that the tensors are. Raises ModelError."""
    entries, where = checkpoint.entries, checkpoint.where
    kind = identify(entries, where)
    own = detect_prediction(checkpoint.tensors, kind)
    prediction = choices.prediction
    if prediction == AUTO:
        marked = own if "v_pred" in entries else None
        prediction = stated.prediction(checkpoint.metadata, marked, where) or own
    zero_snr = stated.zero_snr(checkpoint.metadata) and "ztsnr" not in entries
    pipeline = _parts(checkpoint, kind, choices, prediction)
    pipeline.scheduler = scheduler.of_family(prediction, zero_snr or "ztsnr" in entries)
    overrides: dict[str, Any] = {"prediction": prediction} if prediction != own else {}
    overrides |= {"zero_snr": True} if zero_snr else {}
    if (alpha_bar := choices.alpha_bar) is not None:
        pipeline.scheduler, is_own = scheduler.fitting(prediction, alpha_bar, where)
        if not is_own:
            overrides["alpha_bar"] = digest([f"{a:.6g}" for a in alpha_bar.tolist()])
    if choices.layer is not None:
        overrides["layer"] = choices.layer
    made = StableDiffusion(pipeline, name, choices.device, resolution=choices.resolution)
    made.overrides |= overrides
    made.warnings = (*made.warnings, *stated.few_steps(name, checkpoint.metadata))
    return made


def _parts(checkpoint: Checkpoint, kind: Kind, choices: Choices, prediction: str) -> Any:
    """UNet, VAE and text encoders, with what the prediction says of their size."""
    tensors, where = checkpoint.tensors, checkpoint.where
    tokenizer = clip_tokenizer(choices.tokenizer)
    text = build_text(tensors, kind, where, choices.dtype, tokenizer, choices.layer)
    pixels = kind.settings["resolution"].get(prediction, 512)
    vae = build_vae(tensors, checkpoint.entries, kind, where, choices.vae, pixels)
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    unet = build_unet(tensors, kind, where, choices.dtype, pixels // factor)
    check_zeros({"UNet": unet, "VAE": vae, "text encoder": text.module}, where)
    return SimpleNamespace(unet=unet, vae=vae, text=text)


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
