"""Agreement of attribution scores with a reference, usually leave-one-group-out retraining (LOGO).

Every metric takes `scores` and `reference`, both (I queries, K groups) and higher = more, and gives
(I,) float64, one value per query. Rankings break ties by column order, the same way on both sides;
Spearman alone gives ties their mean rank. ValueError: shapes that differ, fewer than two groups,
values that are not finite.

The choice of metrics follows Murata et al. 2026 (arXiv 2601.22651) and github.com/sony/guda.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats


def top1(scores: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """1.0 where both put the same group first, else 0.0."""
    scores, reference = _checked(scores, reference)
    return (scores.argmax(1) == reference.argmax(1)).astype(np.float64)


def reciprocal_rank(scores: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """1 / the rank that `scores` gives to the reference's best group; the mean of it is MRR."""
    scores, reference = _checked(scores, reference)
    best = reference.argmax(1)[:, None]
    return 1 / np.take_along_axis(_ranks(scores), best, 1)[:, 0]


def ndcg(scores: np.ndarray, reference: np.ndarray, k: int = 3) -> np.ndarray:
    """Normalised discounted cumulative gain of the first k, with exponential gains on ranks.

    Relevance is K - rank in the reference (the best K - 1, the worst 0), the gain
    2^relevance - 1, the discount 1 / log2(1 + rank in `scores`) (Burges et al. 2005). As
    sony/guda's CIFAR-10 code; its UnlearnCanvas code has the linear gain relevance + 1 instead.
    """
    if k < 1:
        raise ValueError(f"k = {k}: NDCG needs at least the first rank, k >= 1")
    scores, reference = _checked(scores, reference)
    groups = scores.shape[1]
    # Both sides divided by 2^K, which cancels and cannot overflow for a thousand groups.
    gains = 2.0 ** -_ranks(reference) - 2.0**-groups
    discount = 1 / np.log2(np.arange(2, min(k, groups) + 2))
    found = np.take_along_axis(gains, _order(scores), 1)[:, :k]
    ideal = np.take_along_axis(gains, _order(reference), 1)[:, :k]
    return found @ discount / (ideal @ discount)


def rbo(scores: np.ndarray, reference: np.ndarray, p: float = 0.9) -> np.ndarray:
    """Extrapolated rank-biased overlap, RBO_ext of Webber, Moffat & Zobel 2010.

    Their eq. 32, which for two rankings of the same K items (overlap X_d at depth d, X_K = K) is
    p^K + (1 - p) / p * sum_d p^d X_d / d. sony/guda leaves out the p^K, so that equal rankings
    stay at 1 - p^K there (0.65 for ten groups); add it to its figures before comparing.
    """
    if not 0 < p < 1:
        raise ValueError(f"p = {p}: the persistence of RBO lies between 0 and 1, both excluded")
    scores, reference = _checked(scores, reference)
    depth = np.arange(1, scores.shape[1] + 1)
    # A group counts from the depth at which both rankings have reached it.
    reached = np.maximum(_ranks(scores), _ranks(reference))
    overlap = (reached[:, :, None] <= depth).sum(1)
    return p ** depth[-1] + (1 - p) / p * (overlap / depth) @ p**depth


def wpra(scores: np.ndarray, reference: np.ndarray, m: int = 3) -> np.ndarray:
    """Weighted pairwise ranking agreement: the share of the reference's gaps in the right order.

    Pairs (a, b) with at least one group among the reference's first m, each of weight
    |reference_a - reference_b|. A pair tied in `scores` is in the wrong order; a constant
    reference gives 0.0. As in sony/guda's CIFAR10/evaluation/ranking_metrics.py.
    """
    if m < 1:
        raise ValueError(f"m = {m}: WPRA needs at least the reference's first group, m >= 1")
    scores, reference = _checked(scores, reference)
    top = _ranks(reference) <= m
    gap = reference[:, :, None] - reference[:, None, :]
    right = np.sign(gap) == np.sign(scores[:, :, None] - scores[:, None, :])
    weight = np.abs(gap) * (top[:, :, None] | top[:, None, :])
    total = weight.sum((1, 2))
    return np.divide((weight * right).sum((1, 2)), total, out=np.zeros_like(total), where=total > 0)


def spearman(scores: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation over the groups, ties at their mean rank; constant row 0.0."""
    scores, reference = _checked(scores, reference)
    return pearson(stats.rankdata(scores, axis=1), stats.rankdata(reference, axis=1))


def pearson(scores: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Pearson's correlation over the groups, centred per query; a constant row gives 0.0."""
    scores, reference = _checked(scores, reference)
    return (_unit(scores) * _unit(reference)).sum(1).clip(-1, 1)


def others(scores: np.ndarray, reference: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Spearman without one group per query: agreement over the styles that no prompt names.

    named: (I,) int, the column to leave out, -1 for none. ValueError also where fewer than two
    groups would remain.
    """
    scores, reference = _checked(scores, reference)
    named = np.asarray(named)
    queries, groups = scores.shape
    if named.shape != (queries,) or named.dtype.kind not in "iu":
        raise ValueError(
            f"named {named.shape} of {named.dtype} for scores {scores.shape}: "
            f"give one integer per query, ({queries},), -1 for none"
        )
    if ((named < -1) | (named >= groups)).any():
        raise ValueError(
            f"named reaches from {named.min()} to {named.max()} for scores {scores.shape}: "
            f"columns are 0 to {groups - 1}, -1 for none"
        )
    result = np.empty(queries)
    for left, rows in ((groups, named < 0), (groups - 1, named >= 0)):
        if rows.any():
            kept = np.arange(groups) != named[rows, None]
            rest = (x[rows][kept].reshape(-1, left) for x in (scores, reference))
            result[rows] = spearman(*rest)
    return result


def standardised(scores: np.ndarray) -> np.ndarray:
    """(I, K) rows with mean 0 and standard deviation 1, so that methods can be averaged."""
    return _unit(np.asarray(scores, dtype=np.float64)) * np.sqrt(np.shape(scores)[1])


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "Top-1": top1,
    "MRR": reciprocal_rank,
    "NDCG@3": ndcg,
    "RBO": rbo,
    "WPRA": wpra,
    "Spearman": spearman,
    "Pearson": pearson,
}
"""By display name, in the order of a table."""


def bootstrap(
    values: np.ndarray, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean over the queries and the ends of its percentile bootstrap interval (Efron 1979).

    values: (I,). One query or equal values have no spread to resample: the mean three times.
    ValueError: no values, more than one dimension, values that are not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"values {values.shape}: give one per query, (queries,), at least one")
    _refuse_non_finite("values", values)
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return mean, mean, mean
    drawn = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        confidence_level=confidence,
        method="percentile",
        vectorized=True,
        # Called rng from SciPy 1.15 on, which takes the older name too.
        random_state=np.random.default_rng(seed),  # type: ignore[call-arg]
    )
    return mean, float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)


def paired_bootstrap(
    a: np.ndarray, b: np.ndarray, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """The same for the mean of a - b, both (I,) over the same queries."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"a {a.shape} and b {b.shape} differ: pair values of the same queries")
    return bootstrap(a - b, confidence, resamples, seed)


def _order(x: np.ndarray) -> np.ndarray:
    """(I, K) columns, best first."""
    return np.argsort(-x, axis=1, kind="stable")


def _ranks(x: np.ndarray) -> np.ndarray:
    """(I, K) rank of each column as float64, 1 is the largest."""
    return np.argsort(_order(x), axis=1) + 1.0


def _unit(x: np.ndarray) -> np.ndarray:
    """Rows centred and of length 1; constant rows 0."""
    # Over its peak a constant row is all ones, so that its centre is exact, not 1e-17 away.
    peak = np.abs(x).max(1, keepdims=True)
    x = np.divide(x, peak, out=np.zeros_like(x), where=peak > 0)
    x = x - x.mean(1, keepdims=True)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)


def _checked(scores: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores = np.asarray(scores, dtype=np.float64)
    reference = np.asarray(reference, dtype=np.float64)
    if scores.shape != reference.shape or scores.ndim != 2:
        raise ValueError(
            f"scores {scores.shape} and reference {reference.shape}: "
            "both must have the same shape, (queries, groups)"
        )
    if scores.shape[1] < 2:
        raise ValueError(f"scores and reference {scores.shape}: a ranking needs two groups or more")
    _refuse_non_finite("scores", scores)
    _refuse_non_finite("reference", reference)
    return scores, reference


def _refuse_non_finite(name: str, x: np.ndarray) -> None:
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        at = tuple(bad[0].tolist())
        raise ValueError(f"{name} {x.shape} holds {x[at]} at {at}: every value must be finite")
