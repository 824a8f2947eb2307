"""Statistics that tell pictures of a style from pictures that have nothing to do with any.

n pictures, K styles, P points. A delta alone does not tell: a picture that the model explains badly
moves by more nats, whatever it shows. What counts is how far the leader stands out from the others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

BANDS = 8  # of noise levels, at most, in which typicality compares errors
RIDGE = 0.1  # of the mean variance, added to each


def margin(delta: np.ndarray) -> np.ndarray:
    """delta_k minus the largest of the others, nats; of a single style its delta."""
    k = delta.shape[1]
    if k == 1:
        return delta
    others = np.where(np.eye(k, dtype=bool), -np.inf, delta[:, None, :])
    return delta - others.max(2)


def outlier(delta: np.ndarray) -> np.ndarray:
    """(delta_k - mean of the others) / their spread, without a unit.

    With fewer than three others there is no spread to speak of, and the margin takes its place.
    """
    k = delta.shape[1]
    if k < 4:
        return margin(delta)
    rest = k - 1
    mean = (delta.sum(1, keepdims=True) - delta) / rest
    square = ((delta**2).sum(1, keepdims=True) - delta**2) / rest
    spread = np.sqrt(np.maximum(square - mean**2, 0) * rest / (rest - 1))
    return (delta - mean) / (spread + 1e-12)


STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"margin": margin, "outlier": outlier}
"""(n, K) deltas -> (n, K) how far each style stands out; the leader's is the largest."""
CHOSEN = "margin"


def of_each(delta: np.ndarray, name: str = CHOSEN) -> np.ndarray:
    """(n, K) how far each style stands out."""
    return STATISTICS[name](delta)


def of_leader(delta: np.ndarray, name: str = CHOSEN) -> np.ndarray:
    """(n,) how far the leader does."""
    return of_each(delta, name).max(1)


def of_runner_up(delta: np.ndarray, name: str = CHOSEN) -> np.ndarray:
    """(n,) how far the second would without the leader; -inf where none are left to compare."""
    if delta.shape[1] < 3:
        return np.full(len(delta), -np.inf)
    return of_leader(np.sort(delta, axis=1)[:, :-1], name)


def bands(full: np.ndarray) -> np.ndarray:
    """(n, P) terms of the full model -> (n, b) logarithms of their sums by band of noise levels."""
    points = full.shape[1]
    parts = np.array_split(np.arange(points), min(BANDS, max(1, points // 2)))
    sums = np.stack([full[:, part].sum(1) for part in parts], 1)
    return np.log(np.maximum(sums, 1e-30))


def distances(reference: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared Mahalanobis distances of (m, b) the reference, each from the others, and (n, b) the
    queries, from all of it. A ridge keeps few pictures from having a direction without variance."""
    m = len(reference)
    each = np.arange(m)
    own = [_from(reference[each != i], reference[i : i + 1])[0] for i in range(m)]
    return np.array(own), _from(reference, query)


def _from(reference: np.ndarray, query: np.ndarray) -> np.ndarray:
    centred = reference - reference.mean(0)
    covariance = centred.T @ centred / (len(reference) - 1)
    covariance += (RIDGE * np.trace(covariance) / len(covariance) + 1e-9) * np.eye(len(covariance))
    gap = query - reference.mean(0)
    return (gap * np.linalg.solve(covariance, gap.T).T).sum(1)
