"""The recipe of unlearning that suits a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..config import UnlearnConfig
from ..diffusion import Backbone
from ..variants import ANCHORS, OPERATORS

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


def target(noted: Mapping[str, Any]) -> dict[str, Any]:
    """Of a recipe that a set notes: the settings of what a style is trained towards.

    Not those of how far it goes, which its certificate measures.
    """
    before = {f.name: f.metadata["before"] for f in dataclasses.fields(UnlearnConfig)}
    recipe = before | dict(noted)
    names = ["operator", "timesteps", "caption_dropout"]
    if (operator := OPERATORS.get(str(recipe["operator"]))) is not None:
        names += [*operator.settings, *(["anchor"] if operator.anchored else [])]
    if "anchor" in names and (anchor := ANCHORS.get(str(recipe["anchor"]))) is not None:
        names += anchor.settings
    return {name: recipe[name] for name in names}
