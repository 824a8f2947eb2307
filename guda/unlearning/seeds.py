"""How far repetitions of an unlearning lie apart, on held-out pictures.

share = sqrt(mean over pictures of the variance over seeds of delta
             / mean over pictures of the mean over seeds of delta, squared)

Pictures count as if every style had as many, so that one of K is the style's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..diffusion import Backbone, LoraWeights
from ..diffusion.room import Room
from .probe import Probe
from .progress import LEVELS

MOST = 8
"""Forget pictures, and retain pictures, that every repetition is asked about."""


def evaluations(repeats: int, forget: int, retain: int) -> int:
    """Pictures through the UNet for `seed_spread`, which takes `MOST` of each at most."""
    pictures = min(MOST, forget) + min(MOST, retain)
    return repeats * pictures * len(LEVELS) if repeats > 1 else 0


def seed_spread(
    backbone: Backbone, probe: Probe, parts: Sequence[LoraWeights], styles: int, room: Room
) -> float | None:
    """None for a single one, or where nothing moved. parts: the repetitions, of K = `styles`."""
    if len(parts) < 2:
        return None
    few = probe.few(MOST, MOST)
    deltas = []
    for part in parts:
        with backbone.counterfactual(part):
            student = few.answers(backbone, room)
        deltas.append(few.deltas(student))
    own, others = (torch.stack(x) for x in zip(*deltas, strict=True))  # (R, n) each
    spread, size = (_mean(f(own), f(others), styles) for f in (_variance, _square))
    return round(math.sqrt(spread / size), 4) if size > 0 else None


def _variance(deltas: Tensor) -> float:
    return float(deltas.var(0).mean())


def _square(deltas: Tensor) -> float:
    return float(deltas.mean(0).square().mean())


def _mean(own: float, others: float, styles: int) -> float:
    return (own + (styles - 1) * others) / styles
