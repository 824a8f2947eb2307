"""From paired ELBO differences to scores with uncertainty, ranks, shares and a verdict."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri, stdtrit
from torch import Tensor

from .conformal import CONFIDENCE, LEVEL, strength
from .origin import Origin
from .spread import SeedSpread

if TYPE_CHECKING:
    from .null import NullPool
    from .source import SourceScores


class Outcome(Enum):
    """What can be said of a picture; apart from the names of styles, which may be any words.

    Without a null pool this is a ranking of the styles that were asked for, and no evidence that
    the picture leans on any of them; with one, a verdict whose errors are counted (see `null`).
    """

    STYLE = "style"  # the first score's
    NONE = "none"  # no interval lies above zero, or nothing stands out as far as chance has it
    UNDECIDED = "undecided"  # between the leader and those next to it
    UNLIKE = "unlike"  # anything that the styles or the model explain
    UNTOLD = "not enough"  # null pictures, to tell


SAID = {
    Outcome.NONE: "none of these",
    Outcome.UNDECIDED: "undecided",
    Outcome.UNLIKE: "unlike anything that the styles or the model explain",
    Outcome.UNTOLD: "not enough to tell",
}


@dataclass(frozen=True)
class Evidence:
    """How one picture stands among null pictures of its kind."""

    form: str  # of its prompt
    pool: int  # null pictures that were asked so
    rank: int  # a name needs a place before this one among them; 0: they are too few
    lower: int  # null pictures whose leader stands out less
    statistic: float  # how far the leader stands out, see `standing`
    p: float  # of a picture that has nothing to do with any of the styles
    by_style: tuple[float, ...]  # (K,) the same if another style had led, in the groups' order
    unlike: float | None  # p of a picture that the model explains; None where it was not asked
    outcome: Outcome
    q: float = 1.0  # p, adjusted for all pictures of the call

    def adjusted(self, q: float) -> Evidence:
        return replace(self, q=q)

    @property
    def strength(self) -> str:
        """strong, moderate or weak."""
        return strength(self.p)


@dataclass(frozen=True)
class Score:
    """What the model would lose on one picture without one group; nats, but rank and share."""

    group: str
    delta: float  # ELBO(full) - ELBO(without_group); positive when the group helped
    stderr: float  # of the evaluation: other noise would give another delta
    low: float
    high: float
    rank: int  # 1 is the largest delta
    share: float  # of the sum of the positive deltas, 0 ... 1
    p: float | None = None  # among null pictures, adjusted for the number of styles
    credit: float | None = None  # where it was asked for, see `credit`
    seed_stderr: float | None = None  # of the unlearning, see `spread`; None for direct answers


@dataclass(frozen=True)
class ImageScores:
    """One picture's scores, best first."""

    image: str
    prompt: str
    outcome: Outcome
    scores: tuple[Score, ...]
    elbo: float  # the full model's ELBO without its constant terms, nats
    evidence: Evidence | None = None  # None without a null pool

    @property
    def verdict(self) -> str:
        """The leader's name, or what `SAID` has.

        A style that is called one of the latter is told apart: 'the style "undecided"'.
        """
        if self.outcome is Outcome.UNDECIDED and self.evidence is not None:
            return f"undecided between {self.scores[0].group} and {self.scores[1].group}"
        if self.outcome in SAID:
            return SAID[self.outcome]
        name = self.scores[0].group
        return f'the style "{name}"' if _letters(name) in map(_letters, SAID.values()) else name

    def __getitem__(self, group: str) -> Score:
        return next(s for s in self.scores if s.group == group)

    def judged(self, evidence: Evidence, groups: Sequence[str]) -> ImageScores:
        """The same with a verdict from null pictures. groups: in the order of `by_style`."""
        p = dict(zip(groups, evidence.by_style, strict=True))
        scores = tuple(replace(s, p=p[s.group]) for s in self.scores)
        return replace(self, outcome=evidence.outcome, scores=scores, evidence=evidence)


@dataclass(frozen=True)
class AgainstNull:
    """The pool behind an attribution's verdicts, and what its names are worth together."""

    origin: str  # "generated" by the model, or "real"
    file: str  # its name; empty where it has none
    digest: str  # names its contents
    forms: Mapping[str, NullForm]
    expected_wrong: float  # of the names, at most about
    kept: int  # names that remain when the whole call is held to `LEVEL`
    level: float = LEVEL
    confidence: float = CONFIDENCE
    pool: NullPool | None = field(default=None, repr=False)  # itself, to be kept as evidence


@dataclass(frozen=True)
class NullForm:
    """The null pictures with one form of prompt."""

    pictures: int
    sources: Mapping[str, int]
    statistics: tuple[float, ...]  # of the null pictures, the smallest first
    rank: int
    cut: float | None  # what a statistic has to exceed for a name; None where they are too few
    named_share: float | None  # of pictures in the styles, those that would get a name


@dataclass(frozen=True)
class Attribution:
    """The answer for a batch of pictures. I pictures, K groups, S noise-level strata."""

    images: tuple[ImageScores, ...]
    groups: tuple[str, ...]
    pictures: Tensor | tuple[Tensor, ...]  # I of (3, H, W) in [0, 1]
    maps: Tensor | tuple[Tensor, ...]  # I of (K, h, w) nats per latent location; sum to the deltas
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
    sheets: Mapping[str, Path] = field(default_factory=dict)
    """Style -> where the picture of it lies that was drawn with it and without it."""
    originals: tuple[Tensor, ...] = ()
    """The pictures as they were given, (3, H, W) uint8, where they lie here; see `original_of`."""
    null: AgainstNull | None = None  # None: verdicts rank the styles, and are no evidence
    origin: Origin | None = None  # what it was computed from
    source: SourceScores | None = None  # of all pictures together, where they are of one source
    spread: SeedSpread | None = None  # within the intervals; None: nothing was unlearned

    def original_of(self, image: int) -> Tensor:
        """(3, H, W) uint8, the picture as it was given: of it `pictures` are the middle, scaled."""
        if self.originals:
            return self.originals[image]
        return (self.pictures[image].float() * 255).round().byte()

    def map_of(self, image: int, group: str) -> Tensor:
        """(h, w) nats per latent location."""
        return self.maps[image][self.groups.index(group)]


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
    groups: Sequence[str],
    contributions: np.ndarray,
    confidence: float,
    spread: SeedSpread | None = None,
) -> tuple[tuple[Score, ...], Outcome]:
    """Scores (best first) and outcome of one picture from (K, 2 S) weighted contributions.

    spread: of the unlearning's seeds, which widens the intervals; None where nothing was unlearned.
    Ties keep the groups' order by name, so that the order of groups never changes a result.
    """
    delta, stderr, half = interval(contributions, confidence)
    seeds = None if spread is None else spread.stderr(delta, groups)
    if seeds is not None:  # of many pictures and levels, so nearly normal
        half = np.hypot(half, ndtri((1 + confidence) / 2) * seeds)
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
            seed_stderr=None if seeds is None else float(seeds[k]),
        )
        for rank, k in enumerate(order, 1)
    )
    return scores, outcome(scores)
