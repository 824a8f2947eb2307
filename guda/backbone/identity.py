"""The record of everything that changes what is computed with a Stable Diffusion."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..diffusion.identity import Identity
from ..diffusion.schedule import NoiseSchedule
from ..settings import digest
from .text import Text

_PROBES = (
    "",
    "a fox in the snow, oil painting by Edvard Munch",
    "Zwölf Boxkämpfer (1920s), 8k; it's a naïve café-scene & more...",
    "emoji 🦊 和 日本語",
)
_UNET = (
    *("norm_num_groups", "norm_eps", "act_fn", "flip_sin_to_cos", "freq_shift"),
    *("resnet_time_scale_shift", "center_input_sample", "downsample_padding"),
)
_VAE = ("norm_num_groups", "act_fn")
_POINTS = 16  # of the noise schedule that are kept


def describe(model: Any) -> dict[str, Any]:
    """What `model`, a StableDiffusion, is."""
    vae = model.vae.config
    return {
        "weights": model.fingerprint,
        "prediction": model.prediction,
        "noise schedule": schedule(model.schedule),
        "resolution": model.resolution,
        "VAE": vae_weights(model.vae),
        "VAE scaling factor": float(vae.scaling_factor),
        "VAE shift": float(vae.get("shift_factor") or 0.0),
        "tokenizer": tokenizer(model.text),
        "text encoder's layer (CLIP skip)": layers(model.text),
        "UNet's settings": unet_settings(model.unet.config),
    }


@cache
def known() -> Mapping[str, Identity]:
    """Models whose sets were made before records were kept: weights -> what they were then."""
    path = Path(__file__).with_name("known.json")
    return json.loads(path.read_text("utf-8"))


def schedule(of: NoiseSchedule) -> list[float]:
    """Its length, and alpha_bar at evenly spaced steps."""
    a = of.alpha_bar
    at = torch.linspace(0, len(a) - 1, _POINTS).long().tolist()
    return [float(len(a)), *(float(f"{float(a[i]):.4g}") for i in at)]


@torch.no_grad()
def vae_weights(vae: nn.Module) -> list[str]:
    """Two hashes over all values, rounded to float16 and to bfloat16.

    ComfyUI keeps a VAE in one of them, or whole: the one in common is the same.
    """
    config: Any = vae.config
    names = []
    for dtype in (torch.float16, torch.bfloat16):
        h = hashlib.blake2b(str([config.get(k) for k in _VAE]).encode(), digest_size=16)
        for name, value in sorted(vae.state_dict().items()):
            rounded = value.detach().to("cpu", torch.float32).to(dtype).contiguous()
            h.update(f"{name}{tuple(value.shape)}".encode())
            h.update(rounded.view(torch.int16).numpy())
        names.append(h.hexdigest())
    return names


def tokenizer(text: Text) -> str:
    """Of the vocabularies, what they make of some texts, the padding and the length."""
    rows = []
    for part in text.parts:
        of = part.tokenizer
        pad = of.convert_tokens_to_ids(part.pad or of.pad_token)
        length = int(of.model_max_length)
        ids = [of(probe, truncation=True, max_length=length).input_ids for probe in _PROBES]
        rows.append((sorted(of.get_vocab().items()), ids, pad, length))
    return digest(rows)


def layers(text: Text) -> str:
    """Counted from the first, so that encoders saved without their last layer are the same."""
    told = []
    for part in text.parts:
        config = part.encoder.config
        depth = config.num_hidden_layers + 1 + part.layer
        told.append(f"{depth}{' normed' if part.norm else ''} {config.hidden_act}")
    return ", ".join(told)


def unet_settings(config: Any) -> str:
    heads = config.get("num_attention_heads") or config.get("attention_head_dim")
    if isinstance(heads, int):
        heads = [heads] * len(config["block_out_channels"])
    return digest(list(heads or ()), [config.get(k) for k in _UNET])
