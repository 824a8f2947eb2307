"""Statistics that tell pictures of a style from pictures that have nothing to do with any.

n pictures, K styles, P points. A delta alone does not tell: a picture that the model explains badly
moves by more nats, whatever it shows. What counts is how far one style stands out from the others,
and whether it does so at every noise level. `benchmarks/false_names.py` compares the statistics.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

BANDS = 4  # of noise levels, at most, in which typicality compares errors
RIDGE = 0.5  # of the mean variance, added to each
"""As good as any others on the pictures that `benchmarks/unlike_anything.py` chooses on."""
TINY = 1e-12


def parts(contributions: np.ndarray) -> np.ndarray:
    """The style's part of all that moves at a noise level, averaged over the levels, in -1 ... 1.

    No level counts more than another, whatever its nats.
    """
    moved = np.abs(contributions).sum(1, keepdims=True) + TINY
    return (contributions / moved).mean(2)


def share(contributions: np.ndarray) -> np.ndarray:
    """The style's part of what moves minus the largest of the others'; see `parts`."""
    return ahead(parts(contributions))


def margin(contributions: np.ndarray) -> np.ndarray:
    """The style's delta minus the largest of the others, nats; of a single style its delta."""
    return ahead(contributions.sum(2))


def outlier(contributions: np.ndarray) -> np.ndarray:
    """(delta - mean of the others) / their spread, without a unit.

    With fewer than three others there is no spread to speak of, and the margin takes its place.
    """
    delta = contributions.sum(2)
    k = delta.shape[1]
    if k < 4:
        return ahead(delta)
    rest = k - 1
    mean = (delta.sum(1, keepdims=True) - delta) / rest
    square = ((delta**2).sum(1, keepdims=True) - delta**2) / rest
    spread = np.sqrt(np.maximum(square - mean**2, 0) * rest / (rest - 1))
    return (delta - mean) / (spread + TINY)


STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "share": share,
    "margin": margin,
    "outlier": outlier,
}
"""(n, K, P) contributions -> (n, K) how far each style stands out."""
CHOSEN = "share"


def of_each(contributions: np.ndarray, name: str = CHOSEN) -> np.ndarray:
    """(n, K) how far each style stands out."""
    return STATISTICS[name](contributions)


def of_first(contributions: np.ndarray, name: str = CHOSEN) -> np.ndarray:
    """(n,) how far the one does that stands out most."""
    return of_each(contributions, name).max(1)


def of_second(contributions: np.ndarray, name: str = CHOSEN) -> np.ndarray:
    """(n,) the same without that one; -inf where none are left to compare."""
    n, k, _ = contributions.shape
    if k < 3:
        return np.full(n, -np.inf)
    first = of_each(contributions, name).argmax(1)
    keep = np.arange(k) != first[:, None]
    return of_first(contributions[keep].reshape(n, k - 1, -1), name)


def ahead(values: np.ndarray) -> np.ndarray:
    """(n, K) each value minus the largest of the others."""
    k = values.shape[1]
    if k == 1:
        return values
    others = np.where(np.eye(k, dtype=bool), -np.inf, values[:, None, :])
    return values - others.max(2)


def bands(full: np.ndarray, most: int = BANDS) -> np.ndarray:
    """(n, P) terms of the full model -> (n, b) logarithms of their sums by band of noise levels."""
    points = full.shape[1]
    parts = np.array_split(np.arange(points), min(most, max(1, points // 2)))
    sums = np.stack([full[:, part].sum(1) for part in parts], 1)
    return np.log(np.maximum(sums, 1e-30))


def distances(
    reference: np.ndarray, query: np.ndarray, ridge: float = RIDGE
) -> tuple[np.ndarray, np.ndarray]:
    """Squared Mahalanobis distances of (m, b) the reference, each from the others, and (n, b) the
    queries, from all of it. A ridge keeps few pictures from having a direction without variance."""
    m = len(reference)
    each = np.arange(m)
    own = [_from(reference[each != i], reference[i : i + 1], ridge)[0] for i in range(m)]
    return np.array(own), _from(reference, query, ridge)


def _from(reference: np.ndarray, query: np.ndarray, ridge: float) -> np.ndarray:
    centred = reference - reference.mean(0)
    covariance = centred.T @ centred / (len(reference) - 1)
    covariance += (ridge * np.trace(covariance) / len(covariance) + 1e-9) * np.eye(len(covariance))
    gap = query - reference.mean(0)
    return (gap * np.linalg.solve(covariance, gap.T).T).sum(1)
