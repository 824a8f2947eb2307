"""Credit: parts of one picture that add up to at most 1, where the rest is nobody's.

    credit_k = max(0, (part_k - null_k) / (1 - null_k))

part_k is the style's part of all that moves (`standing.parts`); null_k is what 95 of 100 pictures
that have nothing to do with the styles stay below, or 0 without a null pool. The absolute parts of
a picture add up to at most 1, and no credit is above its part, so credits do, too. It is a
definition, not a measurement of what anybody is owed: no Shapley value, and no share of money.
"""

from __future__ import annotations

import numpy as np

from . import standing

BELOW = 0.95
FEWEST = 20
"""Null pictures, below which none of them stands for 5 in 100."""


def credits(contributions: np.ndarray, null: np.ndarray | None = None) -> np.ndarray:
    """(n, K, P) of pictures and (m, K, P) of null pictures asked in the same way -> (n, K)."""
    part = standing.parts(contributions)
    least = np.zeros(part.shape[1])
    if null is not None and len(null) >= FEWEST:
        least = np.quantile(standing.parts(null), BELOW, axis=0, method="higher").clip(0, 1)
    left = 1 - least
    return np.divide(part - least, left, out=np.zeros_like(part), where=left > 0).clip(min=0)
