"""From paired ELBO differences to scores with uncertainty, ranks, shares and a verdict."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from scipy.special import stdtrit
from torch import Tensor

from .origin import Origin


class Outcome(Enum):
    """What can be said of a picture; apart from the names of styles, which may be any words."""

    STYLE = "style"  # the first score's
    NONE = "none"  # no interval lies above zero
    UNDECIDED = "undecided"  # the leader's interval overlaps that of the next


SAID = {Outcome.NONE: "none of these", Outcome.UNDECIDED: "undecided"}


@dataclass(frozen=True)
class Score:
    """What the model would lose on one picture without one group; nats, but rank and share."""

    group: str
    delta: float  # ELBO(full) - ELBO(without_group); positive when the group helped
    stderr: float
    low: float
    high: float
    rank: int  # 1 is the largest delta
    share: float  # of the sum of the positive deltas, 0 ... 1


@dataclass(frozen=True)
class ImageScores:
    """One picture's scores, best first."""

    image: str
    prompt: str
    outcome: Outcome
    scores: tuple[Score, ...]
    elbo: float  # the full model's ELBO without its constant terms, nats

    @property
    def verdict(self) -> str:
        """The leader's name, "none of these" or "undecided".

        A style that is called one of the latter is told apart: 'the style "undecided"'.
        """
        if self.outcome in SAID:
            return SAID[self.outcome]
        name = self.scores[0].group
        return f'the style "{name}"' if _letters(name) in map(_letters, SAID.values()) else name

    def __getitem__(self, group: str) -> Score:
        return next(s for s in self.scores if s.group == group)


@dataclass(frozen=True)
class Attribution:
    """The answer for a batch of pictures. I pictures, K groups, S noise-level strata."""

    images: tuple[ImageScores, ...]
    groups: tuple[str, ...]
    pictures: Tensor  # (I, 3, H, W) in [0, 1]
    maps: Tensor  # (I, K, h, w) nats per latent location; sums to the delta over h and w
    profile: Tensor  # (I, K, S) nats per stratum of noise levels; sums to the delta over S
    strata: tuple[tuple[int, int], ...]  # first and last timestep of each stratum
    full_model: dict  # name, fingerprint
    estimate: dict  # the ElboConfig
    unet_evaluations: int
    seconds: float  # nan: not told
    version: str
    warnings: tuple[str, ...] = ()  # to be read before the scores
    direct: bool = False  # whether the model itself answered for the styles, without unlearning
    certificates: Mapping[str, str] = field(default_factory=dict)  # style -> in words; see `direct`
    origin: Origin | None = None  # what it was computed from

    def map_of(self, image: int, group: str) -> Tensor:
        """(h, w) nats per latent location."""
        return self.maps[image, self.groups.index(group)]


def interval(
    contributions: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum, standard error and half width of the confidence interval along the last axis.

    contributions: (..., 2 S), the two draws of each stratum side by side, each already weighted so
    that the sum estimates the total. The two draws of a stratum are independent, so (a - b)^2 is an
    unbiased estimate of the variance of a + b; degrees of freedom after Satterthwaite (1946).
    """
    pairs = contributions.reshape(*contributions.shape[:-1], -1, 2)
    variances = (pairs[..., 0] - pairs[..., 1]) ** 2
    total = variances.sum(-1)
    squares = (variances**2).sum(-1)
    # Every variance is itself an estimate of one degree of freedom, which makes this ratio small
    # and the interval wide; measured coverage is 0.89-0.97, without that caution 0.82-0.94.
    freedom = np.divide(total**2, squares, out=np.ones_like(total), where=squares > 0)
    stderr = np.sqrt(total)
    return contributions.sum(-1), stderr, stdtrit(freedom, (1 + confidence) / 2) * stderr


def _letters(name: str) -> str:
    """What a reader takes in of a name: no case, no spaces, no signs."""
    return "".join(c for c in unicodedata.normalize("NFKC", name).casefold() if c.isalnum())


def outcome(scores: Sequence[Score]) -> Outcome:
    """STYLE, unless nothing helped or the leader is not clear of the next.

    `scores` come best first.
    """
    if scores[0].low <= 0:
        return Outcome.NONE
    if len(scores) > 1 and scores[0].low <= scores[1].high:
        return Outcome.UNDECIDED
    return Outcome.STYLE


def score(
    groups: Sequence[str], contributions: np.ndarray, confidence: float
) -> tuple[tuple[Score, ...], Outcome]:
    """Scores (best first) and outcome of one picture from (K, 2 S) weighted contributions.

    Ties keep the groups' order by name, so that the order of groups never changes a result.
    """
    delta, stderr, half = interval(contributions, confidence)
    positive = delta.clip(min=0).sum()
    order = sorted(range(len(groups)), key=lambda k: (-delta[k], groups[k]))
    scores = tuple(
        Score(
            group=groups[k],
            delta=float(delta[k]),
            stderr=float(stderr[k]),
            low=float(delta[k] - half[k]),
            high=float(delta[k] + half[k]),
            rank=rank,
            share=float(max(delta[k], 0) / positive) if positive > 0 else 0.0,
        )
        for rank, k in enumerate(order, 1)
    )
    return scores, outcome(scores)
