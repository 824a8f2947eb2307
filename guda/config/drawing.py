"""How the model draws."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import Settings, setting


@dataclass(frozen=True)
class SampleConfig(Settings):
    """How the full model generates the pictures of prompt-only groups."""

    pictures: int = setting(
        32, "Pictures generated per style group.", low=4, high=100_000, advanced=False
    )
    steps: int = setting(20, "Sampling steps.", low=1, high=1000, advanced=False)
    guidance: float = setting(
        5.0, "Classifier-free guidance scale.", low=1.0, high=50.0, advanced=False, step=0.1
    )
    seed: int = setting(0, "Seed of the pictures.", low=0, high=2**53, advanced=False)
    batch_size: int = setting(32, "Pictures generated at once.", low=1, high=1024)
