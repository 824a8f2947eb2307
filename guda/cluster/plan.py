"""What scoring many pictures will take, from a warm-up and the number of pictures alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..budget import footprint, rows, warmup
from ..config import DIRECT_EVALUATIONS, EVALUATIONS
from ..counterfactuals.direct import DirectCounterfactuals
from ..jobs.plan import amount, duration
from ..scoring import allocation
from ..steps import Step, Steps
from .score import Scoring

ROW = 160
"""Bytes of a score in a row, about, and of each of its parts by noise level."""


@dataclass(frozen=True)
class BulkPlan:
    """Evaluations are exact; time is that of one device at work, shared evenly."""

    pictures: int
    styles: int
    evaluations: int
    seconds: float  # on one worker
    workers: int
    disk: int
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "pictures": self.pictures,
            "styles": self.styles,
            "unet_evaluations": self.evaluations,
            "seconds": round(self.seconds, 1),
            "workers": self.workers,
            "seconds_on_workers": round(self.seconds / self.workers, 1),
            "disk_bytes": self.disk,
            "warnings": self.warnings,
        }

    def __str__(self) -> str:
        alone = f"about {duration(self.seconds)} on one device"
        many = f", {duration(self.seconds / self.workers)} on {self.workers}"
        return (
            f"{self.pictures} pictures x {self.styles} styles: {self.evaluations} UNet "
            f"evaluations; {alone}{many if self.workers > 1 else ''}; "
            f"up to {amount(self.disk)} of disk"
        )


def price(work: Scoring, count: int, workers: int) -> Steps[BulkPlan]:
    backbone, direct = work.backbone, isinstance(work.without, DirectCounterfactuals)
    config = work.config.filled(DIRECT_EVALUATIONS if direct else EVALUATIONS)
    styles = len(work.without.names)
    points = allocation.evaluations(config, backbone.schedule.length)
    yield Step("plan", 0, 2)
    lora = None
    if not isinstance(work.without, DirectCounterfactuals):
        lora = work.without.load(work.without.entries[0], backbone)
    encoding = warmup.picture(backbone)
    yield Step("plan", 1, 2)
    room = rows.for_scoring(backbone, lora, min(config.batch_size, work.shard * points))
    forward = warmup.scoring(backbone, lora, room)
    footprint.scoring(backbone, lora, room.rows)
    yield Step("plan", 2, 2)
    evaluations = count * points * (styles + 1)
    disk = 2 * count * styles * ROW * (1 + points // 2)
    return BulkPlan(
        count, styles, evaluations, forward * evaluations + encoding * count, workers, disk
    )
