"""Whether the pictures of a source are of a style's kind, or only lean on it.

A source with a look of its own leans on its nearest neighbour among the styles, picture for
picture, and no null pool of many looks shows how often. What gives it away is that the model errs
on its pictures in other ways than on the style's own: Hotelling's T² (1931) for the means of the
logarithms of the full model's error, by band of noise levels, with the spread within the styles
and the source.

    T² = n m / (n + m) d' S⁻¹ d        F(b, v - b + 1) = T² (v - b + 1) / (v b)

for n and m pictures, the difference d of their means over b bands, and v degrees of freedom of S.
`benchmarks/one_source.py` tells what it finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import fdtrc

from . import standing
from .source import SourceScores
from .verdict import Outcome

BANDS = 8
LEVEL = 0.01
"""Low, so that a style is not lost to other subjects. Both chosen on Fluent Flat, FxEmojis and two
styles of the built-in model; reported are the others."""
FEWEST = 8
"""Pictures in the style, below which nothing is said of its kind."""


@dataclass(frozen=True)
class Kind:
    """How the source stands to the style that it leans on."""

    pictures: int  # in the style, which it was held against
    p: float  # that the model errs on both alike

    @property
    def other(self) -> bool:
        return self.p <= LEVEL


def alike(own: np.ndarray, style: str, references: Mapping[str, np.ndarray]) -> float | None:
    """The p-value of pictures (n, P) being of the style's kind; None where it cannot be told.

    references: style -> (m, P), the full model's terms for pictures in it.
    """
    bands = {name: standing.bands(full, BANDS) for name, full in references.items()}
    if len(bands.get(style, ())) < FEWEST:
        return None
    asked, reference = standing.bands(own, BANDS), bands[style]
    centred = np.concatenate([b - b.mean(0) for b in (asked, *bands.values())])
    freedom, b = len(centred) - 1 - len(bands), asked.shape[1]
    if freedom < 3 * b:
        return None
    gap = asked.mean(0) - reference.mean(0)
    n, m = len(asked), len(reference)
    spread = centred.T @ centred / freedom
    t2 = n * m / (n + m) * float(gap @ np.linalg.pinv(spread, hermitian=True) @ gap)
    return float(fdtrc(b, freedom - b + 1, t2 * (freedom - b + 1) / (freedom * b)))


def held(
    source: SourceScores, own: np.ndarray, references: Mapping[str, np.ndarray]
) -> SourceScores:
    """The source without its style's name where its pictures are of another kind.

    own: (n, P), the full model's terms for its pictures; references: as `alike` has them.
    """
    if source.outcome is not Outcome.STYLE:
        return source
    leader = source.scores[0].group
    p = alike(own, leader, references)
    if p is None:
        return source
    kind = Kind(len(references[leader]), p)
    return replace(source, kind=kind, outcome=Outcome.NONE if kind.other else source.outcome)
