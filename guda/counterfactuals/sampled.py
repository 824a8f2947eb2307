"""Pictures in the styles that are kept, drawn with a style and without it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..config import SampleConfig
from ..diffusion import Backbone, LoraWeights
from ..groups import Group, StyleGroups
from ..groups.draw import reported
from ..steps import Step, Steps
from .collapse import Collapse, collapse_of

PICTURES = 8
"""Drawn per counterfactual, in the styles that are kept."""
DRAWING = SampleConfig(steps=10)


@dataclass(frozen=True)
class Sampled:
    """The full model's pictures, of each group once."""

    full: dict[str, Tensor] = field(default_factory=dict)  # group -> (m, 3, H, W)

    def collapse(
        self, backbone: Backbone, groups: StyleGroups, name: str, lora: LoraWeights
    ) -> Steps[Collapse | None]:
        """Of the model without the group `name`; None where no pictures tell of it."""
        kept = kept_prompts(groups, name) if backbone.conditional else {}
        if sum(map(len, kept.values())) < 2:
            return None
        for other, prompts in kept.items():  # one group at a time, however the run began
            if other not in self.full:
                self.full[other] = yield from _draw(backbone, prompts, name)
        asked = [prompt for prompts in kept.values() for prompt in prompts]
        with backbone.counterfactual(lora):
            without = yield from _draw(backbone, asked, name)
        return collapse_of(torch.cat([self.full[other] for other in kept]), without)


def _draw(backbone: Backbone, prompts: list[str], name: str) -> Steps[Tensor]:
    sampling = backbone.sample(prompts, prompts, DRAWING)
    total = DRAWING.steps

    def told(done: int) -> Step:
        return Step("collapse", min(done, total), total, name)

    return (yield from reported(sampling, told))


def kept_prompts(groups: StyleGroups, name: str) -> dict[str, list[str]]:
    """What is drawn in the groups that follow `name`, at most `PICTURES` prompts in all.

    How many of a group does not depend on `name`, so that the full model draws them once.
    """
    names = list(groups.names)
    at = names.index(name)
    others = [*names[at + 1 :], *names[:at]]
    each = -(-PICTURES // max(1, len(others)))
    return {o: _prompts(groups[o], each) for o in others[: -(-PICTURES // each)]}


def _prompts(group: Group, most: int) -> list[str]:
    """The first with different contents."""
    return list(dict.fromkeys(e.prompt(group.style) for e in group.examples))[:most]


def evaluations(groups: StyleGroups, names: list[str]) -> int:
    """Pictures through the UNet for `Sampled.collapse` of these groups, one after the other."""
    kept = {name: kept_prompts(groups, name) for name in names}
    drawn = {o: len(prompts) for k in kept.values() for o, prompts in k.items()}
    without = sum(
        len(p) for k in kept.values() if sum(map(len, k.values())) > 1 for p in k.values()
    )
    return (sum(drawn.values()) + without) * DRAWING.steps * 2
