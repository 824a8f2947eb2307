"""How pictures are scored."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError
from ..settings import Settings, setting
from ..variants import MIXTURES, SCHEDULES, with_settings_of

WEIGHTINGS = ("kl", "eps")
SHAPES = ("own", "square")
EVALUATIONS, DIRECT_EVALUATIONS = 64, 16
"""UNet evaluations per picture and model, with LoRAs and with direct counterfactuals."""


@dataclass(frozen=True)
@with_settings_of(SCHEDULES)
class ElboConfig(Settings):
    """How the ELBO is estimated: where the UNet evaluations go and how they are weighted."""

    evaluations: int = setting(
        0,
        "UNet evaluations per picture and model, an even number. More gives narrower intervals. 0: "
        f"what the kind of counterfactuals needs, {EVALUATIONS} for LoRAs and {DIRECT_EVALUATIONS} "
        "for direct ones.",
        low=0,
        high=100_000,
        advanced=False,
        step=2,
    )
    schedule: str = setting(
        "log",
        f"Which noise levels are evaluated. {SCHEDULES.told()}.",
        choices=SCHEDULES,
        advanced=False,
    )
    seed: int = setting(
        0, "Seed of the noise, shared by all models.", low=0, high=2**53, advanced=False
    )
    weighting: str = setting(
        "kl",
        "kl: the exact KL terms of the ELBO, in nats; eps: every noise level weighs the same "
        "(the usual training loss, not nats).",
        choices=WEIGHTINGS,
    )
    pilot: int = SCHEDULES.setting("pilot")
    confidence: float = setting(0.95, "Coverage of the intervals.", low=0.5, high=0.999, step=0.001)
    batch_size: int = setting(
        32, "Noisy pictures per UNet call, fewer where memory is short.", low=1, high=4096
    )
    mixture: str = setting(
        "posterior",
        "Direct counterfactuals: how the answers in the other styles make up the model without "
        f"one. {MIXTURES.told()}.",
        choices=MIXTURES,
        before="posterior",
    )

    shape: str = setting(
        "own",
        "own: a picture is scored in its own shape, its sides rounded to what the model takes, at "
        "about the model's size; square: a centred square is cut from it, as earlier versions did.",
        choices=SHAPES,
        before="square",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.evaluations % 2 or self.evaluations == 2:
            raise ConfigError(
                f"evaluations is {self.evaluations}; give an even number from 4 on, as every "
                "interval needs two draws, or 0 for the usual number."
            )

    def filled(self, usual: int) -> ElboConfig:
        """The same with `usual` evaluations where their number was left open."""
        return self if self.evaluations else self.replace(evaluations=usual)
