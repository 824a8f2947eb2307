"""How far unlearning has come, in its own units: figures with intervals, band by band.

achieved = 1 - ||eps_student - target||^2 / ||eps_full - target||^2    on forget pictures
scores   = (error of student - of full model) / (error of target - of full model), on the same
drift    = ||eps_student - eps_full||^2 / ||eps - eps_full||^2         on retain pictures

0 achieved is the full model, 1 the target; below 0 the student went elsewhere. scores says what
part of a delta a counterfactual finds: 1 as much as the target itself would.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from scipy.special import stdtrit
from torch import Tensor

from ..files.reading import field, number, shown

LEVELS = (5, 20, 60, 150, 300, 500, 700, 900)
"""Noise levels at which held-out pictures are looked at, in thousandths of the schedule."""

DRIFT = 0.1
"""Of the full model's own squared error, up to which other styles count as kept."""

BANDS = {"5-20": (0, 2), "60-150": (2, 4), "300-500": (4, 6), "700-900": (6, 8)}
"""Slices of `LEVELS`, by name: from the finest details to the whole composition."""


@dataclass(frozen=True)
class Share:
    """A ratio and its 95 % interval over pictures, which is None where there is only one."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"

    @classmethod
    def read(cls, told: Any) -> Share | None:
        """What `asdict` gave, or None. Raises ValueError."""
        if told is None:
            return None
        if not isinstance(told, dict):
            raise ValueError(f"a share is {shown(told, 40)}, no object")
        value, low, high = (told.get(k) for k in ("value", "low", "high"))
        ends = (None if x is None else number(x, "an interval's end") for x in (low, high))
        return cls(number(value, "a share"), *ends)


def share(top: Tensor, bottom: Tensor, weight: Tensor, *, one_minus: bool = False) -> Share | None:
    """sum(top) / sum(bottom), or 1 minus that, with the jackknife's interval over pictures.

    top, bottom: (n pictures, levels); weight: (levels,). None where the bottom is not above zero,
    or not above it but for a single picture.
    """
    a, b = (x.double() @ weight.double() for x in (top, bottom))
    n, whole = len(a), float(b.sum())
    if n == 0 or not whole > 0 or (n > 1 and not bool((whole - b > 0).all())):
        return None
    value = float(a.sum()) / whole
    low = high = None
    if n > 1:
        without = (a.sum() - a) / (whole - b)
        error = math.sqrt((n - 1) / n * float((without - without.mean()).square().sum()))
        half = float(stdtrit(n - 1, 0.975)) * error
        low, high = value - half, value + half
    if not one_minus:
        return Share(value, low, high)
    return Share(1 - value, None if high is None else 1 - high, None if low is None else 1 - low)


@dataclass(frozen=True)
class Measure:
    """One figure, overall (levels weighed as the ELBO weighs them) and in every band."""

    overall: Share | None
    bands: Mapping[str, Share | None]

    @classmethod
    def of(cls, top: Tensor, bottom: Tensor, weight: Tensor, *, one_minus: bool = False) -> Measure:
        """top, bottom: (n pictures, levels); in a band the levels weigh the same."""
        even = torch.ones(len(LEVELS))
        return cls(
            share(top, bottom, weight, one_minus=one_minus),
            {
                name: share(top[:, a:b], bottom[:, a:b], even[a:b], one_minus=one_minus)
                for name, (a, b) in BANDS.items()
            },
        )

    def as_dict(self) -> dict[str, Any]:
        rows = {"overall": self.overall, **self.bands}
        return {k: None if v is None else asdict(v) for k, v in rows.items()}

    @classmethod
    def read(cls, told: Any) -> Measure:
        """Raises ValueError."""
        if not isinstance(told, dict):
            raise ValueError(f"a measure is {shown(told, 40)}, no object")
        rows = {name: Share.read(told.get(name)) for name in ("overall", *BANDS)}
        return cls(rows.pop("overall"), rows)


@dataclass(frozen=True)
class Progress:
    """Measures of a student; all but drift are None where nothing says what it should answer."""

    achieved: Measure | None
    """With the style's name in the prompt."""
    unnamed: Measure | None
    """The same with the content alone; None where the model takes no prompts."""
    scores: Measure | None
    drift: Measure

    def as_dict(self) -> dict[str, Any]:
        measures = {k: getattr(self, k) for k in self.__dataclass_fields__}
        return {k: m and m.as_dict() for k, m in measures.items()}

    @classmethod
    def read(cls, told: Any) -> Progress:
        """Raises ValueError."""
        known = {
            k: None if (m := field(told, k, object)) is None else Measure.read(m)
            for k in ("achieved", "unnamed", "scores")
        }
        return cls(**known, drift=Measure.read(field(told, "drift", object)))
