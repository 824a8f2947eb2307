"""The gate: on held-out pictures, did the counterfactual forget the group more than the rest?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from ..diffusion import Backbone, Conditioning, LoraWeights
from ..diffusion.noise import standard_normal
from ..diffusion.room import Room
from ..files.reading import number
from ..groups import prompts
from ..groups.encode import EncodedGroup

LEVELS = (5, 20, 60, 150, 300, 500, 700, 900)
"""Noise levels of the gate, in thousandths of the schedule's length."""

MOST = 32
"""Forget pictures, and retain pictures, that are evaluated at every level."""


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
        text += ": the forget error must rise, and by more than the retain error"
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
    """Evaluate at most `MOST` forget and `MOST` retain pictures at every level of `LEVELS`."""
    forget = _rows(encoded, [group])
    retain = _rows(encoded, [name for name in encoded if name != group])
    room = room or Room(MOST, backbone.device)
    asked = [
        (rows, backbone.encode_prompts([prompt for _, prompt, _ in rows]).to("cpu"))
        for rows in (forget, retain)
    ]
    forget_full, retain_full = (_error(backbone, *x, seed, room) for x in asked)
    with backbone.counterfactual(lora):
        forget_without, retain_without = (_error(backbone, *x, seed, room) for x in asked)
    gate = Gate(forget_full, forget_without, retain_full, retain_without, margin)
    if gate.passed or not backbone.conditional:
        return gate
    return replace(gate, cause=prompts.late(backbone, encoded[group].group))


def _rows(encoded: Mapping[str, EncodedGroup], names: list[str]):
    """(id, prompt, latent), taken from the groups in turn."""
    queues = [
        [
            (f"{name}/{e.id}", e.prompt(encoded[name].group.style), x0)
            for e, x0 in zip(encoded[name].heldout, encoded[name].heldout_latents, strict=True)
        ]
        for name in sorted(names)
    ]
    longest = max(map(len, queues))
    return [q[i] for i in range(longest) for q in queues if i < len(q)][:MOST]


@torch.no_grad()
def _error(
    backbone: Backbone,
    rows: list[tuple[str, str, Tensor]],
    condition: Conditioning,
    seed: int,
    room: Room,
) -> float:
    """Mean over the rows and levels."""
    x0 = torch.stack([latent for *_, latent in rows])
    total = 0.0
    for level in LEVELS:
        t = max(1, level * backbone.schedule.length // 1000)
        eps = torch.stack([standard_normal(seed, key, t, 0, x.shape) for key, _, x in rows])
        times = torch.full((len(rows),), t)
        x_t = backbone.schedule.add_noise(x0, eps, times)

        def errors(part: slice, x_t=x_t, times=times, eps=eps) -> float:
            given = condition.take(range(len(rows))[part])
            eps_hat = backbone.predict_eps(x_t[part], times[part], given).cpu()
            return (eps[part] - eps_hat).square().mean(dim=(1, 2, 3)).sum().item()

        total += sum(room.over(len(rows), errors))
    return total / (len(rows) * len(LEVELS))
