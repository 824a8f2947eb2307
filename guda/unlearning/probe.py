"""Progress on held-out pictures: the full model is asked once, the student whenever need be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import Backbone
from ..diffusion.room import Room
from ..groups import Example
from ..variants import OPERATORS
from .batches import Batches
from .held import MOST, Held
from .progress import LEVELS, Measure, Progress
from .target import Target, anchors_of, target_of


def weights(backbone: Backbone) -> Tensor:
    """(levels,) float64: of a mean squared error in the ELBO, each level for those around it."""
    t = torch.tensor([max(1, level * backbone.schedule.length // 1000) for level in LEVELS])
    inner = (t[1:].double() * t[:-1].double()).sqrt()
    edges = torch.cat([torch.ones(1).double(), inner, torch.tensor([backbone.schedule.length])])
    return backbone.schedule.kl_weight(t) * (edges[1:] - edges[:-1]).clamp(min=1e-9)


def evaluations(batches: Batches, forget: Sequence[Example], retain: int, prompts: bool) -> int:
    """Pictures through the UNet for a probe and its student's answers, both of `MOST` at most."""
    own, others = forget[:MOST], min(MOST, retain)
    student = (2 if prompts else 1) * len(own) + others
    return of_full(batches, own, others, prompts) + student * len(LEVELS)


def of_full(batches: Batches, forget: Sequence[Example], retain: int, prompts: bool) -> int:
    """Pictures through the UNet for a probe alone."""
    operator, n = OPERATORS[batches.config.operator], len(forget)
    asked = (2 if prompts else 1) * n + retain
    if operator.needs_neighbours:
        asked += operator.evaluations(n, 0, prompts) - n  # its target, without the student
    elif prompts:
        asked += sum(len(anchors_of(batches, e)) for e in forget)
    return asked * len(LEVELS)


@dataclass(frozen=True)
class Probe:
    """Built while the model is the full one; `progress` is asked while it is the student."""

    forget: Held
    retain: Held
    target: Target | None
    full: Tensor  # the full model's answers on the forget rows, to the prompts with the name
    unnamed: Tensor | None  # to the content alone
    kept: Tensor  # on the retain rows
    weight: Tensor

    @classmethod
    def of(cls, backbone: Backbone, batches: Batches, room: Room, most: int = MOST) -> Probe:
        encoded, seed = batches.encoded, batches.config.seed
        forget = Held.of(backbone, encoded, [batches.group], seed, most)
        others = [name for name in encoded if name != batches.group]
        retain = Held.of(backbone, encoded, others, seed, most)
        silent = backbone.conditional
        return cls(
            forget,
            retain,
            target_of(backbone, forget, batches, room),
            forget.answers(backbone, forget.named, room),
            forget.answers(backbone, forget.unnamed, room) if silent else None,
            retain.answers(backbone, retain.named, room),
            weights(backbone),
        )

    def few(self, forget: int, retain: int, *, unnamed: bool = False) -> Probe:
        """Cheaper: so many pictures at most, without the style's name only if `unnamed`."""
        silent = self.unnamed if unnamed else None
        return Probe(
            self.forget.first(forget),
            self.retain.first(retain),
            self.target and self.target.first(forget),
            self.full[: forget * len(LEVELS)],
            None if silent is None else silent[: forget * len(LEVELS)],
            self.kept[: retain * len(LEVELS)],
            self.weight,
        )

    def answers(self, backbone: Backbone, room: Room) -> Answers:
        """The student's, to all that the full model was asked."""
        silent = self.unnamed is not None
        return Answers(
            self.forget.answers(backbone, self.forget.named, room),
            self.forget.answers(backbone, self.forget.unnamed, room) if silent else None,
            self.retain.answers(backbone, self.retain.named, room),
        )

    def progress(self, student: Answers) -> Progress:
        retain = self.retain
        moved = retain.distance(student.kept, self.kept)
        missed = retain.distance(retain.eps, self.kept)
        return Progress(
            self._achieved(student.full, self.full),
            self._achieved(student.unnamed, self.unnamed),
            self._scores(student),
            Measure.of(moved, missed, self.weight),
        )

    def _scores(self, student: Answers) -> Measure | None:
        if self.target is None:
            return None
        held, mean = self.forget, self.target.mean
        full, now, there = (held.distance(held.eps, x) for x in (self.full, student.full, mean))
        return Measure.of(now - full, there - self.target.doubt - full, self.weight)

    def _achieved(self, student: Tensor | None, full: Tensor | None) -> Measure | None:
        target, held = self.target, self.forget
        if target is None or student is None or full is None:
            return None
        left, way = (held.distance(x, target.mean) - target.doubt for x in (student, full))
        return Measure.of(left, way, self.weight, one_minus=True)

    def deltas(self, student: Answers) -> tuple[Tensor, Tensor]:
        """(n,) of the forget pictures and of the retain pictures: error of student - of full model,
        the levels weighed as the ELBO weighs them."""
        pairs = ((self.forget, student.full, self.full), (self.retain, student.kept, self.kept))
        own, others = (
            (held.distance(held.eps, now) - held.distance(held.eps, full)) @ self.weight
            for held, now, full in pairs
        )
        return own, others

    def errors(self, student: Answers) -> tuple[float, float, float, float]:
        """Mean squared errors: forget of the full model and of the student, then retain."""
        f, r = self.forget, self.retain
        full, now, kept, moved = (
            float(held.distance(held.eps, answers).mean())
            for held, answers in (
                (f, self.full),
                (f, student.full),
                (r, self.kept),
                (r, student.kept),
            )
        )
        return full, now, kept, moved


@dataclass(frozen=True)
class Answers:
    """Of the model with a LoRA, as those of the full model in `Probe`."""

    full: Tensor
    unnamed: Tensor | None
    kept: Tensor

    @property
    def finite(self) -> bool:
        answers = (self.full, self.unnamed, self.kept)
        return all(x is None or bool(x.isfinite().all()) for x in answers)
