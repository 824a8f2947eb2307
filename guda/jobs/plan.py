"""What a job will take, before it runs: steps, UNet evaluations, time, memory, disk.

An evaluation is one noisy picture through the UNet; a backward pass is not counted as another.
Evaluations are exact. Time comes from a warm-up, in which the real UNet works a few times on as
many pictures at once as the job will give it; memory is counted (see `footprint`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..budget import footprint, rows, warmup
from ..budget.footprint import Footprint
from ..config import ElboConfig
from ..diffusion import Backbone
from ..steps import Step, Steps


@dataclass(frozen=True)
class Plan:
    """What is left to do, without what is finished already."""

    steps: int  # of the optimizer
    evaluations: Mapping[str, int]  # stage -> pictures through the UNet
    seconds: float
    memory: Footprint | None  # None when there is nothing to do
    checkpointing: bool
    device: str
    disk: int  # bytes, at most
    reused: str = ""
    warnings: tuple[str, ...] = ()
    at_most: bool = False  # whether it may end before it took all steps
    per_style: tuple[int, int] | None = None
    """Evaluations at the model's size that a style is worth as planned, and that it would be worth
    with all steps at that size and nothing to be found before them."""

    @property
    def total(self) -> int:
        return sum(self.evaluations.values())

    def plus(
        self, evaluations: Mapping[str, int], seconds: float, memory: Footprint, **changed: Any
    ) -> Plan:
        """With more that is done afterwards, which takes that long and so much memory.

        changed: further fields of the whole.
        """
        most = max(self.memory or memory, memory, key=lambda m: m.total)
        counts, time = {**self.evaluations, **evaluations}, self.seconds + seconds
        return replace(self, evaluations=counts, seconds=time, memory=most, **changed)

    def as_dict(self) -> dict:
        return {
            "steps": self.steps,
            "may_end_before": self.at_most,
            "unet_evaluations": dict(self.evaluations) | {"total": self.total},
            **({} if self.per_style is None else {"evaluations_per_style": self._of_a_style()}),
            "seconds": round(self.seconds, 1),
            "memory_bytes": self.memory.total if self.memory else 0,
            "pictures_at_once": self.memory.rows if self.memory else 0,
            "gradient_checkpointing": self.checkpointing,
            "device": self.device,
            "disk_bytes": self.disk,
            "reused": self.reused,
            "warnings": self.warnings,
        }

    def _a_style(self, most: str) -> list[str]:
        if self.per_style is None:
            return []
        now, whole = self.per_style
        text = f"for each style {most}{now} evaluations at the model's size"
        more = f" ({whole} with all steps at that size, without trials and looks)"
        return [text + (more if now != whole else "")]

    def _of_a_style(self) -> dict[str, int]:
        now, whole = self.per_style or (0, 0)
        return {"planned": now, "all_steps_at_the_models_size": whole}

    def __str__(self) -> str:
        if self.memory is None:
            return f"Nothing to do: {self.reused}."
        stages = ", ".join(f"{n} {stage}" for stage, n in self.evaluations.items() if n)
        most = "at most " if self.at_most else ""
        parts = [f"{most}{self.steps} optimizer steps"] if self.steps else []
        parts += [
            f"{self.total} UNet evaluations ({stages})",
            *self._a_style(most),
            f"about {duration(self.seconds)}",
            f"{amount(self.memory.total)} of memory on {self.device} with {self.memory.rows} "
            f"pictures at once{' and gradient checkpointing' if self.checkpointing else ''}",
            f"up to {amount(self.disk)} of disk",
        ]
        return "; ".join(parts) + (f". {self.reused}." if self.reused else ".")


def asked(plan: Plan, backbone: Backbone, evaluations: Mapping[str, int]) -> Steps[Plan]:
    """With more that the full model is asked for afterwards, at the pace of a warm-up."""
    yield Step("plan", 0, 1)
    room = rows.for_scoring(backbone, None, ElboConfig().batch_size)
    pace = warmup.scoring(backbone, None, room)
    yield Step("plan", 1, 1)
    memory = footprint.scoring(backbone, None, room.rows)
    return plan.plus(evaluations, pace * sum(evaluations.values()), memory)


def duration(seconds: float) -> str:
    """For example "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def amount(size: int) -> str:
    """For example "27 MB", "1.8 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
