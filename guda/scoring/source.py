"""Many pictures of one source, a workflow or an artist, asked together: what do they lean on?

n pictures, K styles, delta (n, K) in nats. The picture is the sampling unit: the interval of a
style's mean delta is one over pictures, and what is said holds for further pictures of the source.

A style is named where it leads every other one, in paired t-tests over the pictures. The leader is
chosen by the same pictures, so their p-values count twice: it may be one of two that are equally
good. Whoever has to beat all others needs no more correction than that, however many there are
(Gutmann & Maymin 1987, for independent normal means; the tests simulate what is here).

With a null pool the leader also has to stand out further than in sets of unrelated pictures. The
pictures in question and the pool's are put together and n of them drawn, again and again: if they
have nothing to do with the styles, theirs is one of these sets like any other, so that

    p = (1 + number of the B sets that stand out as far) / (B + 1)

is at most a with probability a at most, exactly (Phipson & Smyth 2010). It speaks of a mixture of
unrelated pictures. A source with a look of its own, which is not among the styles, may lean on its
nearest neighbour picture for picture; no drawing from a pool of many looks shows how often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from .conformal import LEVEL, strength
from .verdict import Outcome

FEWEST = 10
"""Pictures, below which nothing is said of a source."""
SETS = 1999
_NUMBERS = 1 << 22  # at a time


@dataclass(frozen=True)
class SourceScore:
    """A style over all pictures of a source; nats."""

    group: str
    delta: float  # the mean
    stderr: float
    low: float
    high: float
    rank: int
    p: float  # that the leader is not above it, for all styles together; of the leader: the largest


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

    @property
    def strength(self) -> str:
        """strong, moderate or weak, by the larger of the p-values."""
        ps = [self.scores[0].p] if self.scores else [1.0]
        return strength(max(ps + ([self.null.p] if self.null else [])))


def lead(delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., n, K) -> the leader by its mean (...), and its paired t against each style (..., K).

    The leader's own is infinite.
    """
    n = delta.shape[-2]
    leader = delta.mean(-2).argmax(-1)
    own = np.take_along_axis(delta, leader[..., None, None], -1)
    gap = own - delta
    spread = gap.std(-2, ddof=1) / np.sqrt(n)
    mean = gap.mean(-2)
    t = np.divide(mean, spread, out=np.where(mean > 0, np.inf, 0.0), where=spread > 0)
    np.put_along_axis(t, leader[..., None], np.inf, -1)
    return leader, t


def stands_out(delta: np.ndarray) -> np.ndarray:
    """(..., n, K) -> (...) the least of the leader's paired t-statistics."""
    return lead(delta)[1].min(-1)


def null_sets(delta: np.ndarray, pool: np.ndarray, seed: int, sets: int = SETS) -> NullSets:
    """How the source's pictures (n, K) stand among sets of them and the pool's (m, K)."""
    n, together = len(delta), np.concatenate([delta, pool])
    together = together[np.lexsort(together.T)]  # what is drawn depends on no order of pictures
    rng, own = np.random.default_rng(seed), stands_out(delta)
    part = max(1, _NUMBERS // (n * delta.shape[1]))
    above, left = 0, sets
    while left:
        count = min(part, left)
        drawn = np.stack([rng.choice(len(together), n, replace=False) for _ in range(count)])
        above += int((stands_out(together[drawn]) >= own).sum())
        left -= count
    return NullSets(len(pool), sets, sets - above, (1 + above) / (sets + 1))


def of_source(
    groups: Sequence[str],
    delta: np.ndarray,
    confidence: float,
    pool: np.ndarray | None = None,
    seed: int = 0,
    unlike: int = 0,
) -> SourceScores:
    """delta: (n, K) of the source's pictures; pool: (m, K) of null pictures asked in the same way.

    unlike: how many of the n are unlike anything that the styles or the model explain; where more
    than half are, the source is, too.
    Ties keep the groups' order by name, so that the order of groups never changes a result.
    """
    n, k = delta.shape
    if n < FEWEST:
        return SourceScores(n, Outcome.UNTOLD, (), 0.0, None, unlike, confidence)
    order = sorted(range(k), key=lambda j: (-delta[:, j].mean(), groups[j]))
    delta = delta[:, order]
    mean, stderr = delta.mean(0), delta.std(0, ddof=1) / np.sqrt(n)
    half = stdtrit(n - 1, (1 + confidence) / 2) * stderr
    t = lead(delta)[1]
    p = np.minimum(2 * stdtr(n - 1, -t), 1.0)
    alone = float(stdtr(n - 1, -mean[0] / stderr[0])) if stderr[0] > 0 else float(mean[0] <= 0)
    p[0] = p[1:].max(initial=alone)
    scores = tuple(
        SourceScore(
            groups[j], float(mean[i]), float(stderr[i]), float(mean[i] - half[i]),
            float(mean[i] + half[i]), i + 1, float(p[i]),
        )
        for i, j in enumerate(order)
    )  # fmt: skip
    null = None if pool is None or len(pool) < n else null_sets(delta, pool[:, order], seed)
    outcome = Outcome.UNLIKE if 2 * unlike > n else _outcome(scores, null)
    return SourceScores(n, outcome, scores, float(t.min()), null, unlike, confidence)


def _outcome(scores: Sequence[SourceScore], null: NullSets | None) -> Outcome:
    if scores[0].low <= 0 or (null is not None and null.p > LEVEL):
        return Outcome.NONE
    return Outcome.STYLE if scores[0].p <= LEVEL else Outcome.UNDECIDED
