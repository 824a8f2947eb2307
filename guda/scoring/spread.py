"""What another seed of the unlearning would change: a part of a score's interval.

A counterfactual depends on the seed that it was unlearned from, and so does a delta:

    sd over seeds of a picture's delta = share * rms over styles of the picture's deltas

With repeats, the LoRAs' mean is scored, whose sd is smaller by the root of their number, and the
share is measured between them on held-out pictures (see `unlearning.seeds`). With one LoRA it is
assumed. The model itself, asked directly, has no such seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

ASSUMED = 0.3
"""Of one seed, where nothing was measured; see benchmarks/seed_spread.py."""


@dataclass(frozen=True)
class SeedSpread:
    """shares: style -> of one seed, as measured between repeats; those not measured are assumed."""

    shares: Mapping[str, float]
    repeats: int = 1

    def of(self, style: str) -> float:
        """The share of the mean of all repeats."""
        return self.shares.get(style, ASSUMED) / self.repeats**0.5

    def assumed(self, styles: Sequence[str]) -> bool:
        """Whether nothing was measured for any of them."""
        return not any(style in self.shares for style in styles)

    def stderr(self, delta: np.ndarray, styles: Sequence[str]) -> np.ndarray:
        """(K,) of one picture's deltas (K,)."""
        rms = float(np.sqrt(np.square(delta).mean()))
        return np.array([self.of(style) for style in styles]) * rms
