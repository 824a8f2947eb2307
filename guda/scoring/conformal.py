"""How a statistic stands among those of null pictures: p-values, where to cut, and many at once.

A null statistic is that of a picture which has nothing to do with any of the styles. If a picture
has nothing to do with them either, its own is any of n + 1 alike, and

    p = (1 + number of the n null statistics that are as large) / (n + 1)

is at most a with probability a at most (Vovk, Gammerman & Shafer 2005).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import bdtrc

LEVEL, CONFIDENCE = 0.05, 0.9
"""False names: at most this share of the pictures without a style, with this confidence."""
STRONG = 0.01
"""p-values up to this are strong, those up to LEVEL moderate, others weak."""
USUAL = 200
"""Null pictures of a pool, where nobody asks for another number."""


def largest_rank(n: int, level: float = LEVEL, confidence: float = CONFIDENCE) -> int:
    """The largest r for which naming what lies beyond the r-th largest of n null statistics names
    at most a share `level` of the null pictures, with `confidence`; 0 where n is too small.

    The share beyond the r-th largest is Beta(r, n + 1 - r) distributed over the draw of the pool,
    so it is at most `level` with the probability P(Binomial(n, level) >= r).
    """
    ranks = np.arange(1, n + 1)
    enough = bdtrc(ranks - 1, n, level) >= confidence
    return int(ranks[enough].max(initial=0))


def smallest_pool(level: float = LEVEL, confidence: float = CONFIDENCE) -> int:
    """The least n for which `largest_rank` is not 0: 1 - (1 - level)^n reaches the confidence."""
    return int(np.ceil(np.log1p(-confidence) / np.log1p(-level)))


@cache
def _ranks() -> dict[int, int]:
    """size -> `largest_rank`, of pools that somebody may well make."""
    return {n: largest_rank(n) for n in range(100, 1001, 50)}


def pool_that_names(p: float, n: int) -> int:
    """The size from which a pool would name a picture with this p-value, which one of n does not;
    0 where none up to 1,000 would. The cut comes closer to `LEVEL` the larger the pool is."""
    enough = (size for size, rank in _ranks().items() if size > n and p * (size + 1) <= rank)
    return next(enough, 0)


def as_large(null: np.ndarray, statistics: np.ndarray) -> np.ndarray:
    """How many of the null statistics (n,) are as large as each of the statistics (...), or larger.

    What is no number is as large as nothing.
    """
    ordered = np.sort(null)
    asked = np.where(np.isnan(statistics), -np.inf, statistics)
    return len(ordered) - np.searchsorted(ordered, asked, "left")


def p_values(null: np.ndarray, statistics: np.ndarray) -> np.ndarray:
    """The p-value of each of the statistics (...) among the null ones (n,)."""
    return (1 + as_large(null, statistics)) / (len(null) + 1)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """(m,) adjusted p-values: taking those up to a keeps the expected share of false ones below a.

    Benjamini & Hochberg (1995). It holds for conformal p-values that share their pool, too (Bates,
    Candes, Lei, Romano & Sesia 2023).
    """
    m = len(p)
    order = np.argsort(p, kind="stable")
    raised = np.asarray(p)[order] * m / np.arange(1, m + 1)
    adjusted = np.empty(m)
    adjusted[order] = np.minimum.accumulate(raised[::-1])[::-1].clip(max=1)
    return adjusted


def strength(p: float) -> str:
    """How strong the evidence is, in one word with fixed cuts: strong, moderate or weak."""
    return "strong" if p <= STRONG else "moderate" if p <= LEVEL else "weak"
