"""Pictures that a MODEL of ComfyUI draws, by ComfyUI's own sampling, as a KSampler draws them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import comfy.sample
import torch
from torch import Tensor

from ..guda.config import SampleConfig
from ..guda.diffusion.noise import generator

if TYPE_CHECKING:
    from .native import NativeModel

SAMPLER, SCHEDULER = "euler", "simple"
"""Of a KSampler; they suit every kind of model."""


def draw(
    model: NativeModel, patcher, prompts: Sequence[str], keys: Sequence[str], config: SampleConfig
) -> Generator[int, None, Tensor]:
    """See `guda.diffusion.Backbone.sample`; one picture after the other, as they may be large."""
    pictures = []
    for i, (prompt, key) in enumerate(zip(prompts, keys, strict=True)):
        asked, free = ([*row] for row in model.encode_prompts([prompt, ""]))
        with torch.inference_mode():
            rng = generator("picture", config.seed, key)
            noise = model.own(torch.randn(1, *model.latent_shape, generator=rng))
            raw = comfy.sample.sample(
                patcher, noise, config.steps, config.guidance, SAMPLER, SCHEDULER, asked, free,
                torch.zeros_like(noise), disable_pbar=True, seed=config.seed,
            )  # fmt: skip
            pictures.append(model.shown(raw))
        yield (i + 1) * config.steps // len(prompts)
    return torch.stack(pictures)
