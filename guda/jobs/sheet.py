"""Asked for the style, with it and without it: what a counterfactual looks like, from same seeds.

Two of the group's contents, in its own style and in a style that was kept, drawn by the full model
and by the model without the style. The first should differ, the second should not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..config import SampleConfig
from ..counterfactuals import CounterfactualSet, Entry
from ..diffusion import Backbone
from ..files.png import text_of
from ..groups import Example, StyleGroups
from ..groups.draw import draw
from ..steps import Steps
from .plan import Plan

CONTENTS = 2
DRAWING = SampleConfig(steps=10)
KEY = "guda.key"
"""What a sheet's file was drawn from, in its text."""


@dataclass(frozen=True)
class Sheet:
    """pictures: (2, 2 * contents, 3, H, W), by the full model and without the style."""

    style: str
    kept: str
    prompts: tuple[str, ...]  # of the style, then of the one that was kept
    pictures: Tensor


def path_of(made: CounterfactualSet, entry: Entry) -> Path:
    """Beside the LoRA, where programs that list LoRAs look for a picture of it."""
    return made.folder / f"{entry.slug}.png"


def is_drawn(made: CounterfactualSet, entry: Entry) -> bool:
    """Whether the sheet of this very counterfactual lies there."""
    return text_of(path_of(made, entry)).get(KEY) == entry.key


def sheet(
    backbone: Backbone, groups: StyleGroups, made: CounterfactualSet, entry: Entry
) -> Steps[Sheet | None]:
    """None for a model that takes no prompts, whose pictures are of no style that one asks for."""
    if not backbone.conditional:
        return None
    names = list(groups.names)
    kept = groups[names[(names.index(entry.name) + 1) % len(names)]]
    shown = _contents(groups[entry.name].examples)
    prompts = tuple(e.prompt(s) for s in (entry.style, kept.style) for e in shown)
    full = yield from draw(backbone, prompts, DRAWING)
    with backbone.counterfactual(made.load(entry, backbone)):
        without = yield from draw(backbone, prompts, DRAWING)
    return Sheet(entry.name, kept.name, prompts, torch.stack([full, without]))


def priced(price: Steps[Plan], styles: int) -> Steps[Plan]:
    """A price with the sheets of so many styles, which are drawn afterwards."""
    plan = yield from price
    asked = styles * 2 * (2 * CONTENTS) * DRAWING.steps * 2  # with and without it, guided
    pace = plan.seconds / max(1, plan.total)
    counts = {**plan.evaluations, "sheet": asked}
    return replace(plan, evaluations=counts, seconds=plan.seconds + pace * asked)


def _contents(examples: tuple[Example, ...]) -> list[Example]:
    """The first with different contents."""
    return list({e.content: e for e in reversed(examples)}.values())[::-1][:CONTENTS]
