"""Pictures of several shapes: each shape is measured by itself, and all at the same points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..steps import Step, Steps, passed
from .differences import Differences
from .elbo import Points

Measure = Callable[[Points], Steps[Differences]]


def together(measures: Sequence[Measure], places: Sequence[Sequence[int]]) -> Measure:
    """One measurement of all pictures; `places`: which of them each of `measures` is of."""
    if len(measures) == 1:
        return measures[0]
    images = sum(map(len, places))

    def measure(points: Points) -> Steps[Differences]:
        found, before = [], 0
        for one, own in zip(measures, places, strict=True):
            found.append((yield from _shifted(one(points), before, len(own), images)))
            before += len(own)
        return joined(found, places)

    return measure


def _shifted(steps: Steps[Differences], before: int, own: int, images: int) -> Steps[Differences]:
    """The same steps, counted as part of those of all pictures."""

    def counted(step: Step) -> Step:
        each = step.total // own
        return replace(step, done=step.done + before * each, total=images * each)

    return passed(steps, counted)


def joined(found: Sequence[Differences], places: Sequence[Sequence[int]]) -> Differences:
    """In the pictures' order; maps of several shapes are a tuple."""
    order = np.argsort(np.concatenate([np.asarray(own) for own in places]))

    def of(parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts)[order]

    return replace(
        found[0],
        contributions=of([f.contributions for f in found]),
        maps=in_order([m for f in found for m in f.maps], order),
        elbo=of([f.elbo for f in found]),
        full=of([f.full for f in found]),
        unet_evaluations=sum(f.unet_evaluations for f in found),
    )


def in_order(
    items: Sequence[Tensor], order: Sequence[int] | np.ndarray
) -> Tensor | tuple[Tensor, ...]:
    """A tensor where all are of one shape, else a tuple."""
    sorted_ = [items[int(i)] for i in order]
    return torch.stack(sorted_) if len({i.shape for i in sorted_}) == 1 else tuple(sorted_)
