"""Many pictures of one source, a workflow or an artist, asked together: what do they lean on?

n pictures, K styles, P points; nats. The picture is the sampling unit: the interval of a style's
mean delta is one over pictures, and what is said holds for further pictures of the source; with
LoRAs the interval also has what another seed of the unlearning would change (see `spread`).

Nats have heavy tails, and one picture that the model explains badly would speak for all. So styles
are compared by their part of what moves (`standing.parts`), of which every picture has the same.
A style is named where its part leads every other's, in paired t-tests over the pictures. The
leader is chosen by the same pictures, so p-values count twice: it may be one of two that are
equally good. Whoever has to beat all others needs no more correction than that, however many there
are (Gutmann & Maymin 1987, for independent normal means; the tests simulate what is here).

With a null pool the leader also has to stand out further than in sets of unrelated pictures. The
pictures in question and the pool's are put together and n of them drawn, again and again: if they
have nothing to do with the styles, theirs is one of these sets like any other, so that

    p = (1 + number of the B sets that stand out as far) / (B + 1)

is at most a with probability a at most, exactly (Phipson & Smyth 2010). It speaks of a mixture of
unrelated pictures. A source with a look of its own, which is not among the styles, may lean on its
nearest neighbour picture for picture; no drawing from a pool of many looks shows how often, and
`kind` is there to find it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from . import standing
from .conformal import LEVEL, strength
from .spread import SeedSpread
from .verdict import Outcome

if TYPE_CHECKING:
    from .kind import Kind

FEWEST = 10
"""Pictures, below which nothing is said of a source."""
SETS = 1999
_NUMBERS = 1 << 22  # at a time


@dataclass(frozen=True)
class SourceScore:
    """A style over all pictures of a source; nats, but part, rank and p."""

    group: str
    delta: float  # the mean
    stderr: float
    low: float
    high: float
    part: float  # of what moves, the mean; -1 ... 1
    rank: int  # by the part
    p: float  # that the leader is not above it, for all styles together; of the leader: the largest
    seed_stderr: float | None = None  # of the unlearning, see `spread`; None for direct answers


@dataclass(frozen=True)
class NullSets:
    """Sets of as many pictures, drawn from the null pool and the source together."""

    pool: int  # null pictures
    sets: int
    lower: int  # of the sets, those whose leader stands out less
    p: float


@dataclass(frozen=True)
class SourceScores:
    """What a source leans on, best first; no scores below FEWEST pictures."""

    pictures: int
    outcome: Outcome
    scores: tuple[SourceScore, ...]
    stands_out: float  # the least of the leader's paired t-statistics against the others
    null: NullSets | None = None
    unlike: int = 0  # pictures that are unlike anything that the model explains
    confidence: float = 0.95
    kind: Kind | None = None  # None where it was not held against the style's own pictures

    @property
    def strength(self) -> str:
        """strong, moderate or weak, by the larger of the p-values."""
        ps = [self.scores[0].p] if self.scores else [1.0]
        return strength(max(ps + ([self.null.p] if self.null else [])))


def lead(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., n, K) -> the leader by its mean (...), and its paired t against each style (..., K).

    The leader's own is infinite.
    """
    n = part.shape[-2]
    leader = part.mean(-2).argmax(-1)
    own = np.take_along_axis(part, leader[..., None, None], -1)
    gap = own - part
    spread = gap.std(-2, ddof=1) / np.sqrt(n)
    mean = gap.mean(-2)
    t = np.divide(mean, spread, out=np.where(mean > 0, np.inf, 0.0), where=spread > 0)
    np.put_along_axis(t, leader[..., None], np.inf, -1)
    return leader, t


def stands_out(part: np.ndarray) -> np.ndarray:
    """(..., n, K) -> (...) the least of the leader's paired t-statistics."""
    return lead(part)[1].min(-1)


def null_sets(part: np.ndarray, pool: np.ndarray, seed: int, sets: int = SETS) -> NullSets:
    """How the source's pictures (n, K) stand among sets of them and the pool's (m, K)."""
    n, together = len(part), np.concatenate([part, pool])
    together = together[np.lexsort(together.T)]  # what is drawn depends on no order of pictures
    rng, own = np.random.default_rng(seed), stands_out(part)
    size = max(1, _NUMBERS // part.size)
    above, left = 0, sets
    while left:
        count = min(size, left)
        drawn = np.stack([rng.choice(len(together), n, replace=False) for _ in range(count)])
        above += int((stands_out(together[drawn]) >= own).sum())
        left -= count
    return NullSets(len(pool), sets, sets - above, (1 + above) / (sets + 1))


def of_source(
    groups: Sequence[str],
    contributions: np.ndarray,
    confidence: float,
    pool: np.ndarray | None = None,
    seed: int = 0,
    unlike: int = 0,
    spread: SeedSpread | None = None,
) -> SourceScores:
    """contributions: (n, K, P) of the source's pictures; pool: (m, K, P) of null pictures that were
    asked in the same way, at the same points.

    unlike: how many of the n are unlike anything that the styles or the model explain; where more
    than half are, the source is, too.
    spread: of the unlearning's seeds, which widens the intervals; None where nothing was unlearned.
    Ties keep the groups' order by name, so that the order of groups never changes a result.
    """
    n = len(contributions)
    if n < FEWEST:
        return SourceScores(n, Outcome.UNTOLD, (), 0.0, None, unlike, confidence)
    mean = standing.parts(contributions).mean(0)
    order = sorted(range(len(groups)), key=lambda j: (-mean[j], groups[j]))
    delta, part = contributions[:, order].sum(2), standing.parts(contributions[:, order])
    stderr = delta.std(0, ddof=1) / np.sqrt(n)
    half = stdtrit(n - 1, (1 + confidence) / 2) * stderr
    names, seeds = [groups[k] for k in order], None
    if spread is not None:
        seeds = spread.stderr_of_mean(delta, names)
        half = np.hypot(half, ndtri((1 + confidence) / 2) * seeds)
    centre = delta.mean(0)
    means = (centre, stderr, centre - half, centre + half)
    t = lead(part)[1]
    p = np.minimum(2 * stdtr(n - 1, -t), 1.0)
    p[0] = p[1:].max(initial=_above_zero(part[:, 0]))
    scores = tuple(
        SourceScore(
            name,
            *map(float, row),
            rank=i + 1,
            p=float(p[i]),
            seed_stderr=None if seeds is None else float(seeds[i]),
        )
        for i, (name, row) in enumerate(
            zip(names, np.column_stack([*means, mean[order]]), strict=True)
        )
    )
    null = None
    if pool is not None and len(pool) >= n:
        null = null_sets(part, standing.parts(pool[:, order]), seed)
    outcome = Outcome.UNLIKE if 2 * unlike > n else _outcome(scores, null, _above_zero(part[:, 0]))
    return SourceScores(n, outcome, scores, float(t.min()), null, unlike, confidence)


def _above_zero(part: np.ndarray) -> float:
    """The p-value of (n,) having no mean above zero."""
    spread = part.std(ddof=1) / np.sqrt(len(part))
    return float(stdtr(len(part) - 1, -part.mean() / spread)) if spread > 0 else float(part[0] <= 0)


def _outcome(scores: Sequence[SourceScore], null: NullSets | None, nothing: float) -> Outcome:
    """nothing: the p-value of the leader making no difference."""
    if nothing > LEVEL or (null is not None and null.p > LEVEL):
        return Outcome.NONE
    return Outcome.STYLE if scores[0].p <= LEVEL else Outcome.UNDECIDED
