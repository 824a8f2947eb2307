"""The gradient of one step, in as many parts as memory asks for, without underflow in float16."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import UnlearnConfig
from ..diffusion import Backbone, Conditioning, TrainableLora, recomputing, training_attention
from ..diffusion.room import Room
from ..errors import OutOfMemoryError
from ..variants import OPERATORS
from .batches import Batch

LARGEST_SCALE = 2.0**16
PATIENCE = 200  # good steps until the scale is raised again


class LossScale:
    """Multiplies the loss so that small float16 gradients do not become 0.

    After Micikevicius et al. 2018, but a step whose gradients overflow is done again with half the
    scale: none is skipped. The scale is a power of two, so that nothing but underflow depends on
    it; it stays 1 where no float16 is involved.
    """

    def __init__(self, dtype: torch.dtype):
        self.value = LARGEST_SCALE if dtype == torch.float16 else 1.0
        self._used, self._good = self.value > 1, 0

    def overflowed(self) -> bool:
        """Lower the scale; False when it cannot be lowered any more."""
        self._good = 0
        if self.value <= 1:
            return False
        self.value /= 2
        return True

    def succeeded(self) -> None:
        self._good += 1
        if self._used and self._good >= PATIENCE and self.value < LARGEST_SCALE:
            self.value, self._good = 2 * self.value, 0


@dataclass(frozen=True)
class Student:
    """The model being unlearned; with what is trained of it switched off, it is the full model."""

    backbone: Backbone
    lora: TrainableLora
    config: UnlearnConfig

    @property
    def parameters(self) -> list[nn.Parameter]:
        return list(self.lora.parameters().values())

    def full(self, x_t: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        with self.lora.off():
            return self.backbone.predict_eps(x_t, t, condition)

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(forget, preserve) of the operator."""
        operator = OPERATORS[self.config.operator]
        return operator(self.full, self.backbone.predict_eps, batch, self.config)


def learn(
    student: Student, batch: Batch, room: Room, scale: LossScale, stack: ExitStack
) -> tuple[float, float]:
    """`backward`; where not even one picture fits, activations are computed again from now on,
    until `stack` ends."""
    try:
        return backward(student, batch, room, scale)
    except OutOfMemoryError:
        if not room.begin_to_recompute():
            raise
    stack.enter_context(recomputing(student.backbone.unet))
    return backward(student, batch, room, scale)


def backward(student: Student, batch: Batch, room: Room, scale: LossScale) -> tuple[float, float]:
    """Leaves the gradient of forget + lambda * preserve in the parameters; returns the two losses.

    The means over the forget and over the retain rows are sums over the parts, so the gradient is
    that of the whole batch, up to rounding, whatever `room` holds. Gradients that are not finite
    at any scale are left for the caller to see.
    """
    parameters = student.parameters

    def clear() -> None:
        for p in parameters:
            p.grad = None

    def once(rows: int) -> tuple[float, float]:
        return _accumulate(student, batch, rows, scale.value)

    while True:
        forget, preserve = room.attempt(once, len(batch), undo=clear)
        gradients = [p.grad for p in parameters if p.grad is not None]
        if scale.value > 1:
            for g in gradients:
                g.mul_(1 / scale.value)
        if math.isfinite(forget + preserve) and not _all_finite(gradients) and scale.overflowed():
            clear()
            continue
        scale.succeeded()
        return forget, preserve


def _accumulate(student: Student, batch: Batch, rows: int, scale: float) -> tuple[float, float]:
    forget, preserve = 0.0, 0.0
    for part in batch.parts(rows):
        own = part.n / batch.n
        others = (len(part) - part.n) / max(1, len(batch) - batch.n)
        locations = batch.x_t.shape[-2] * batch.x_t.shape[-1]
        with training_attention(student.backbone.device, locations):
            f, r = student.losses(part)
            loss = own * f + student.config.preserve_weight * others * r
            (scale * loss).backward()
        forget += own * f.item()
        preserve += others * r.item()
    return forget, preserve


def _all_finite(gradients: list[Tensor]) -> bool:
    return all(bool(g.isfinite().all()) for g in gradients)
