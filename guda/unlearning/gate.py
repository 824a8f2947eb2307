"""The gate: on held-out pictures, did the counterfactual forget the group more than the rest?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from ..diffusion import Backbone, LoraWeights
from ..diffusion.room import Room
from ..files.reading import number
from ..groups import Group, prompts
from ..groups.encode import EncodedGroup
from .held import MOST, Held


@dataclass(frozen=True)
class Gate:
    """Mean squared eps errors on held-out pictures, with and without the group."""

    forget_full: float
    forget_without: float
    retain_full: float
    retain_without: float
    margin: float
    cause: str = ""  # why it may have failed

    @property
    def forget_rise(self) -> float:
        return self.forget_without / self.forget_full - 1

    @property
    def retain_rise(self) -> float:
        return self.retain_without / self.retain_full - 1

    @property
    def passed(self) -> bool:
        rise = self.forget_rise
        return rise > 0 and rise > self.retain_rise + self.margin

    @property
    def reason(self) -> str:
        text = (
            f"held-out forget error {self.forget_rise:+.2%}, retain error {self.retain_rise:+.2%}"
        )
        if self.passed:
            return text
        more = f"over {self.margin:.2%} " if self.margin else ""
        text += f": the forget error must rise, and by {more}more than the retain error"
        return f"{text}; {self.cause}" if self.cause else text

    def as_dict(self) -> dict:
        values = {k: v for k, v in asdict(self).items() if v != ""}
        return values | {"passed": self.passed, "reason": self.reason}

    @classmethod
    def from_dict(cls, values: dict) -> Gate:
        """Raises ValueError for anything but positive errors."""
        read = {k: number(values.get(k), k) for k in cls.__dataclass_fields__ if k != "cause"}
        if min(read["forget_full"], read["retain_full"]) <= 0:
            raise ValueError("a gate's error is not positive")
        return cls(**read, cause=str(values.get("cause", "")))


def measure(
    backbone: Backbone,
    encoded: Mapping[str, EncodedGroup],
    group: str,
    lora: LoraWeights,
    *,
    seed: int,
    margin: float,
    room: Room | None = None,
) -> Gate:
    """The gate of a LoRA by itself, on held-out pictures at every one of `LEVELS`."""
    room = room or Room(MOST, backbone.device)
    others = [name for name in encoded if name != group]
    held = [Held.of(backbone, encoded, names, seed) for names in ([group], others)]

    def errors() -> list[float]:
        return [float(h.distance(h.eps, h.answers(backbone, h.named, room)).mean()) for h in held]

    forget_full, retain_full = errors()
    with backbone.counterfactual(lora):
        forget, retain = errors()
    figures = (forget_full, forget, retain_full, retain)
    return gate_of(backbone, encoded[group].group, figures, margin)


def gate_of(
    backbone: Backbone, group: Group, errors: tuple[float, float, float, float], margin: float
) -> Gate:
    """errors: on the forget pictures, full model and without the group; then on the rest."""
    gate = Gate(*errors, margin)
    if gate.passed or not backbone.conditional:
        return gate
    return replace(gate, cause=prompts.late(backbone, group))
