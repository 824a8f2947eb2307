"""How many pictures at once, with or without gradient checkpointing, fit the free memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..config import MemoryConfig, UnlearnConfig
from ..diffusion import Backbone, LoraWeights
from ..diffusion.room import MARGIN, Room, free_bytes
from . import footprint
from .footprint import Footprint

SMALL = 1 / 8  # of the free memory: what is below is not worth counting


@dataclass(frozen=True)
class Rooms:
    """The room of the training steps, and that of the gate, which needs no backward pass."""

    training: Room
    gate: Room | None = None


def for_training(backbone: Backbone, config: UnlearnConfig, memory: MemoryConfig) -> Room:
    """Checkpointing, if left to choose, only where not even one part fits without it."""
    rows = config.batch_size + config.retain_batch_size
    wanted = min(memory.micro_batch or rows, rows)
    automatic = memory.checkpointing == "auto"
    again = memory.checkpointing == "on"
    free = _free(backbone)
    if free is not None and not _is_small(backbone, wanted, free):
        least = memory.micro_batch or 1

        def cost(n: int) -> Footprint:
            return footprint.training(backbone, config, n, checkpointing=again)

        if automatic and cost(least).total > free:
            again = True
        if not memory.micro_batch:
            wanted = largest(cost, wanted, free)
    return Room(wanted, backbone.device, recompute=again, may_recompute=automatic)


def for_scoring(
    backbone: Backbone, lora: LoraWeights | None, rows: int, shape: Sequence[int] | None = None
) -> Room:
    """At most `rows`. shape: (c, h, w) of the latents, where they are not of the model's size.

    A model that another program keeps in its place (`at_work`) has that program's care; it is given
    a few at a time, so that a run can be stopped.
    """
    if hasattr(backbone, "at_work"):
        return Room(min(rows, backbone.rows), backbone.device)  # type: ignore[attr-defined]
    free = _free(backbone)
    if free is not None and not _is_small(backbone, rows, free):
        rows = largest(lambda n: footprint.scoring(backbone, lora, n, shape), rows, free)
    return Room(rows, backbone.device)


def largest(cost: Callable[[int], Footprint], most: int, free: float) -> int:
    """The most rows, 1 ... most, whose total stays below `free` bytes; memory grows evenly."""
    if most == 1:
        return 1
    one, two = cost(1).total, cost(2).total
    return max(1, min(most, 1 + int((free - one) // max(1, two - one))))


def _free(backbone: Backbone) -> float | None:
    """Bytes for the UNet and its work, with what its weights already take."""
    backbone.ready()
    free = free_bytes(backbone.device)
    if free is None:
        return None
    return MARGIN * free + footprint.size(backbone.unet.parameters())


def _is_small(backbone: Backbone, rows: int, free: float) -> bool:
    return rows * footprint.size(backbone.unet.parameters()) < SMALL * free
