"""Agreement with what retraining does on average, of which every LOGO seed is a noisy sample.

One retraining agrees with another less than with their common truth, so a ceiling of one seed
cannot show a method that is better than one retraining. The correction for attenuation (Spearman
1904) divides the agreement with the mean of S seeds by the root of that mean's reliability, which
Spearman and Brown's formula gives from how the seeds agree with each other. Seeds share the noise
at which they are scored; of that noise the correction knows nothing.

S seeds, I queries, K groups. Scores are (I, K), seeds (S, I, K).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .agreement import pearson

Figure = tuple[float, float, float]
"""An estimate, and the ends of its 95 % bootstrap interval over the queries."""

RESAMPLES = 2000


@dataclass(frozen=True)
class Size:
    """Deltas against the true ones, over all pairs of a query and a group.

    slope: how much of a true nat the delta says; correlation: of the two. 1 is ideal for both.
    """

    slope: Figure
    correlation: Figure


def with_truth(scores: np.ndarray, seeds: np.ndarray) -> Figure | None:
    """Mean Pearson per query with the truth, corrected for attenuation; it may exceed 1 by chance.

    Exact where the queries are equally noisy; else too low, for the root of a mean reliability
    is larger than the mean of the roots. None: fewer than two seeds, or they do not agree at all.
    """
    if len(seeds) < 2:
        return None
    values = np.stack([pearson(scores, seeds.mean(0)), between(seeds)], 1)

    def corrected(mean: np.ndarray) -> np.ndarray:
        return _over_root(mean[..., 0], spearman_brown(mean[..., 1], len(seeds)))

    return _resampled(values, corrected)


def one_with_truth(seeds: np.ndarray) -> Figure | None:
    """The same of one seed, each held against the truth behind the others."""
    if len(seeds) < 2:
        return None
    rest = [np.delete(seeds, s, 0) for s in range(len(seeds))]
    against = [pearson(one, r.mean(0)) for one, r in zip(seeds, rest, strict=True)]
    values = np.stack([np.mean(against, 0), between(seeds)], 1)

    def corrected(mean: np.ndarray) -> np.ndarray:
        return _over_root(mean[..., 0], spearman_brown(mean[..., 1], len(seeds) - 1))

    return _resampled(values, corrected)


def size(scores: np.ndarray, seeds: np.ndarray) -> Size | None:
    """How large the scores are beside the true deltas. None as in `with_truth`.

    What two seeds share is the variance of the truth, whatever their own noise.
    """
    if len(seeds) < 2:
        return None
    first, second = np.triu_indices(len(seeds), 1)
    columns = [
        scores.mean(1),
        (scores**2).mean(1),
        (scores * seeds.mean(0)).mean(1),
        (seeds[first] * seeds[second]).mean((0, 2)),
        *seeds.mean(2),
    ]

    def moments(mean: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        score, square, product, pairs = np.moveaxis(mean[..., :4], -1, 0)
        each = mean[..., 4:]
        shared = pairs - (each[..., first] * each[..., second]).mean(-1)
        return square - score**2, product - score * each.mean(-1), shared

    def slope(mean: np.ndarray) -> np.ndarray:
        _, covariance, shared = moments(mean)
        return np.divide(covariance, shared, out=np.full_like(shared, np.nan), where=shared > 0)

    def correlation(mean: np.ndarray) -> np.ndarray:
        variance, covariance, shared = moments(mean)
        return _over_root(covariance, variance * shared)

    figures = [_resampled(np.stack(columns, 1), f) for f in (slope, correlation)]
    return None if None in figures else Size(*figures)  # type: ignore[arg-type]


def one_size(seeds: np.ndarray) -> Size | None:
    """The size of one seed beside the truth: its slope is 1, by what the truth is."""
    if len(seeds) < 2:
        return None
    first, second = np.triu_indices(len(seeds), 1)
    pairs = (seeds[first] * seeds[second]).mean((0, 2))
    values = np.stack([pairs, (seeds**2).mean((0, 2)), *seeds.mean(2)], 1)

    def correlation(mean: np.ndarray) -> np.ndarray:
        each = mean[..., 2:]
        shared = mean[..., 0] - (each[..., first] * each[..., second]).mean(-1)
        return np.sqrt(np.maximum(shared, 0) / (mean[..., 1] - (each**2).mean(-1)))

    figure = _resampled(values, correlation)
    if figure is None or figure[0] <= 0:  # the seeds share nothing that could be the truth
        return None
    return Size((1.0, 1.0, 1.0), figure)


def between(seeds: np.ndarray) -> np.ndarray:
    """(I,) Pearson of two seeds with each other, the mean over their pairs."""
    pairs = zip(*np.triu_indices(len(seeds), 1), strict=True)
    return np.mean([pearson(seeds[a], seeds[b]) for a, b in pairs], 0)


def spearman_brown(one: np.ndarray, n: int) -> np.ndarray:
    """The reliability of the mean of n seeds, from that of one (Spearman 1910, Brown 1910)."""
    one = np.maximum(one, 0)  # seeds that contradict each other have no truth in common
    return n * one / (1 + (n - 1) * one)


def _over_root(value: np.ndarray, square: np.ndarray) -> np.ndarray:
    """value / sqrt(square), not a number where that has no root."""
    return value / np.sqrt(np.where(square > 0, square, np.nan))


def _resampled(
    values: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int = 0
) -> Figure | None:
    """statistic: means (..., m) of the columns of `values` (I, m) -> (...)."""
    whole = float(statistic(values.mean(0)[None])[0])
    if not np.isfinite(whole):
        return None
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), RESAMPLES)
    drawn = statistic(times @ values / len(values))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return whole, float(low), float(high)
