"""Recovery: how soon four of its pictures bring a style back into the model without it.

e_s      error on held-out pictures of the style, the levels weighed as the ELBO weighs them, after
         s steps of fine-tuning the model without the style on four others
back     the first s with e_0 - e_s >= (e_0 - e_full) / 4: a quarter of what unlearning added
control  the same of the pictures in a look that was never there, with their own e_0 and e_s

The look has the colours of a picture each moved on by one channel, and the picture upside down. It
is the same pictures under an isometry, so that a model that knew the look would err on it by e_full
as well: what differs is what the model has seen. All else is the same, prompts and noise too. A
style that is back in a tenth of the control's steps was hidden, not forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from ..config import UnlearnConfig
from ..files.reading import field, number, shown
from .progress import LEVELS

PICTURES, HELD = 4, 8
"""Trained on, and held out."""
LIMIT = 100
"""Steps at most."""
BACK = 0.25
"""Of the error above the full model's. A model that was trained again without the style gets a
little more than that from four pictures, and never half; see docs/benchmarks.md."""
HIDDEN = 10
"""Times as many steps that the control needs at least, where a style was hidden."""
WIDER = 5 / 4
"""How much further on each next look is."""


def turned(pictures: Tensor) -> Tensor:
    """(n, 3, H, W) in a look that no model has seen."""
    return pictures[:, [1, 2, 0]].flip(-2)


@dataclass(frozen=True)
class Recovery:
    """Steps, between looks by interpolation; None: not within those that were taken."""

    back: float | None
    control: float | None
    limit: int  # steps taken at most for the style
    taken: int  # for the control, as `HIDDEN` times `back` are enough

    @property
    def hidden(self) -> bool:
        """Whether the style is back in a tenth of the control's steps, or was never gone."""
        if not self.back:
            return self.back == 0
        return enough(self.back) <= (self.taken if self.control is None else self.control)

    def __str__(self) -> str:
        if self.back == 0:
            return "nothing of it to bring back"
        if self.back is None:
            return f"not a quarter back after {self.limit} steps on {PICTURES} pictures"
        few, many = (None if x is None else math.ceil(x) for x in (self.back, self.control))
        control = f"more than {self.taken}" if many is None else str(many)
        told = f"a quarter back after {few} step{'s' * (few != 1)} on {PICTURES} pictures"
        told += f", where a look that was never there takes {control}"
        return f"{told}, so it was hidden rather than forgotten" if self.hidden else told

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"hidden": self.hidden}

    @classmethod
    def read(cls, told: Any) -> Recovery | None:
        """What `as_dict` gave, or None. Raises ValueError."""
        if told is None:
            return None
        if not isinstance(told, dict):
            raise ValueError(f"recovery is {shown(told, 40)}, no object")
        seen = (told.get(k) for k in ("back", "control"))
        back, control = (None if x is None else number(x, "a recovery's steps") for x in seen)
        limit, taken = (int(number(field(told, k, object), k)) for k in ("limit", "taken"))
        return cls(back, control, limit, taken)


def enough(back: float) -> int:
    """Steps of the control that tell a hidden style, which came back after `back` of its own.

    A part of a step is one: less was not looked at.
    """
    return math.ceil(HIDDEN * max(1.0, back))


def looks(limit: int) -> list[int]:
    """The steps after which a look is taken."""
    steps, at = [], 1.0
    while round(at) < limit:
        steps += [round(at)] if round(at) not in steps else []
        at *= WIDER
    return [*steps, limit]


def evaluations(config: UnlearnConfig, limit: int) -> int:
    """Pictures through the UNet at most, for a style and its control."""
    look = HELD * len(LEVELS)
    return 3 * look + trained(config, limit) + 2 * (1 + len(looks(limit))) * look


def trained(config: UnlearnConfig, limit: int) -> int:
    """Those of them at most that have a backward pass."""
    return 2 * limit * (config.batch_size + config.retain_batch_size)


def first(curve: Mapping[int, float], fall: float) -> float | None:
    """The step at which the curve has fallen by so much, between its points by interpolation."""
    before, start = 0, curve[0]
    for step in sorted(curve):
        if curve[step] <= start - fall:
            high, low = curve[before], curve[step]
            share = (high - (start - fall)) / (high - low) if high > low else 0.0
            return round(before + share * (step - before), 3)
        before = step
    return None
