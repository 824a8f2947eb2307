"""What another seed of the unlearning would change: a part of a score's interval.

A counterfactual depends on the seed that it was unlearned from, and so does a delta:

    sd over seeds of a picture's delta = share * rms over styles of the picture's deltas

With repeats, the LoRAs' mean is scored, whose sd is smaller by the root of their number, and the
share is measured between them on held-out pictures (see `unlearning.seeds`). With one LoRA it is
assumed. The model itself, asked directly, has no such seed.

Over the pictures of one source a seed moves the mean by less, as it moves every picture otherwise.
The pictures' own standard error has seen that; what it has not is the part that all have in common:

    sd over seeds of the mean delta, beyond that = COMMON * mean over pictures of the above
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

ASSUMED = 0.3
"""Of one seed, where nothing was measured; see benchmarks/seed_spread.py."""
COMMON = 0.4
"""Of a picture's, in the mean over pictures of one source; see there, too."""


@dataclass(frozen=True)
class SeedSpread:
    """shares: style -> of one seed, as measured between repeats; those not measured are assumed.

    others: style -> its repeats, where they are others than `repeats`.
    """

    shares: Mapping[str, float]
    repeats: int = 1
    others: Mapping[str, int] = field(default_factory=dict)

    def of(self, style: str) -> float:
        """The share of the mean of all repeats."""
        return self.shares.get(style, ASSUMED) / self.others.get(style, self.repeats) ** 0.5

    def assumed(self, styles: Sequence[str]) -> bool:
        """Whether nothing was measured for any of them."""
        return not any(style in self.shares for style in styles)

    def stderr(self, delta: np.ndarray, styles: Sequence[str]) -> np.ndarray:
        """(K,) of one picture's deltas (K,)."""
        rms = float(np.sqrt(np.square(delta).mean()))
        return np.array([self.of(style) for style in styles]) * rms

    def stderr_of_mean(self, deltas: np.ndarray, styles: Sequence[str]) -> np.ndarray:
        """(K,) of the mean of pictures' deltas (n, K), beside the standard error over pictures."""
        return COMMON * np.mean([self.stderr(delta, styles) for delta in deltas], 0)
