"""What a check of a model measured, as JSON and in words."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from ..counterfactuals import Entry
from ..steps import Steps
from ..version import __version__
from .plan import amount, duration

T = TypeVar("T")
BROKEN = 1.0
"""Of the noise's own size, above which an error says that the model explains nothing."""


@dataclass(frozen=True)
class Question:
    """A picture in a style, and the deltas in nats by style; None where nothing could be asked."""

    prompt: str  # that it was drawn with; the question gives the content alone
    content: str
    style: str
    loras: Mapping[str, float] | None = None
    direct: Mapping[str, float] | None = None

    @staticmethod
    def leader(deltas: Mapping[str, float] | None) -> str | None:
        return None if deltas is None else max(deltas, key=lambda name: deltas[name])


class Clock:
    """Seconds of work by stage, and by group where the stage has groups."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, steps: Steps[T]) -> Steps[T]:
        """Passes the steps on; the caller's time between them is not counted."""
        place = ""
        try:
            while True:
                started = time.monotonic()
                try:
                    step = next(steps)
                except StopIteration as end:
                    self._add(place, time.monotonic() - started)
                    return end.value
                place = f"{step.stage} {step.group}".strip() if not step.warning else place
                self._add(place, time.monotonic() - started)
                yield step
        finally:
            steps.close()

    def _add(self, place: str, seconds: float) -> None:
        self.seconds[place] = self.seconds.get(place, 0.0) + seconds


@dataclass(frozen=True)
class Checked:
    """Everything that a bug report should hold."""

    model: Mapping[str, Any]
    machine: Mapping[str, str]
    recipe: Mapping[str, Any]
    errors: Mapping[str, float]  # of the model on drawn pictures, by band of noise levels
    entries: tuple[Entry, ...]
    questions: tuple[Question, ...]
    seconds: Mapping[str, float]
    memory: int  # bytes at the most
    warnings: tuple[str, ...] = field(default=())

    @property
    def works(self) -> bool:
        """Whether the pictures are explained, every style was forgotten and questions answered."""
        return (
            max(self.errors.values()) < BROKEN
            and all(e.passed for e in self.entries)
            and all(q.loras is not None and q.direct is not None for q in self.questions)
        )

    def right(self, how: str) -> int:
        """How many questions' leader is the style that was asked for; how: "loras", "direct"."""
        return sum(q.leader(getattr(q, how)) == q.style for q in self.questions)

    def as_dict(self) -> dict[str, Any]:
        return {
            "guda": __version__,
            "works": self.works,
            "model": dict(self.model),
            "machine": dict(self.machine),
            "recipe": dict(self.recipe),
            "relative_error": dict(self.errors),
            "styles": [_style(e) for e in self.entries],
            "questions": [
                {"prompt": q.prompt, "style": q.style, "loras": q.loras, "direct": q.direct}
                for q in self.questions
            ],
            "right": {how: self.right(how) for how in ("loras", "direct")},
            "seconds": {k: round(v, 2) for k, v in self.seconds.items()},
            "memory_bytes": self.memory,
            "warnings": list(self.warnings),
        }

    def __str__(self) -> str:
        errors = ", ".join(f"{e:.2g} at t = {band}" for band, e in self.errors.items())
        n, total = len(self.questions), sum(self.seconds.values())
        right = f"{self.right('loras')} with the LoRAs, {self.right('direct')} directly"
        longest = sorted(self.seconds.items(), key=lambda x: -x[1])[:4]
        times = ", ".join(f"{k} {duration(s)}" for k, s in longest)
        lines = [
            f"{'works' if self.works else 'DOES NOT WORK'}: {self.model['name']}, "
            f"{self.model['dtype']}, on {self.machine['device']}",
            f"relative error of the noise: {errors}",
            *(f"without {e.name}: {e.standing}" for e in self.entries),
            f"of {n} pictures asked about, the prompted style leads for: {right}",
            f"{duration(total)} of work ({times}), {amount(self.memory)} of memory at the most",
        ]
        return "\n".join(lines)


def _style(entry: Entry) -> dict[str, Any]:
    certificate = entry.certificate
    return {
        "name": entry.name,
        "style": entry.style,
        "gate": entry.gate.as_dict(),
        "certificate": certificate and certificate.as_dict(entry.gate),
        "ended": [e.as_dict() for e in entry.ended],
        "losses": [list(x) for x in (entry.losses[0], entry.losses[-1])],
        "steps": len(entry.losses),
    }


def used_by(device: torch.device) -> str:
    """The device in words, with the accelerator's name where there is one."""
    if device.type != "cuda":
        return str(device)
    return f"{device} ({torch.cuda.get_device_name(device)})"


def peak_memory(device: torch.device) -> int:
    """Bytes at the most since the process began: of the device, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10
