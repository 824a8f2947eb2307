"""The recipe of unlearning that suits a model."""

from __future__ import annotations

import dataclasses

from ..config import UnlearnConfig
from ..diffusion import Backbone

LARGE = 100_000_000
"""Weights of a UNet from which on it counts as large; Stable Diffusion 1.5's has 860 million."""


_LARGE = {f.name: f.metadata["large"] for f in dataclasses.fields(UnlearnConfig)}
STABLE_DIFFUSION = UnlearnConfig(**{n: v for n, v in _LARGE.items() if v is not None})
"""Where to start with Stable Diffusion. The paper fine-tunes the full UNet for 2,000-5,000 steps at
learning rate 2e-6, batch 4; a LoRA needs a larger rate."""


WORDLESS = {"operator": "teacher_anchored", "kl_cap": 8.0, "modules": "all"}
"""What differs where a model takes no prompts. Without the cap, or by `retrack`, the target lies so
far off at little noise that training towards it breaks the model; see docs/benchmarks.md."""


def recommended(backbone: Backbone) -> UnlearnConfig:
    """`STABLE_DIFFUSION` for a large model, the defaults for a small one; see `WORDLESS`."""
    weights = sum(p.numel() for p in backbone.unet.parameters())
    recipe = STABLE_DIFFUSION if weights >= LARGE else UnlearnConfig()
    return recipe if backbone.conditional else recipe.replace(**WORDLESS)
