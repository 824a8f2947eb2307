"""When unlearning is done: a look at held-out pictures now and then, and what follows from it.

The looks are further apart the longer training lasts, so that they take the same share of it
wherever it ends. Between them the learning rate stays as it is; the LoRA is the mean of the weights
over the last quarter or so of the steps (tail averaging, Shamir and Zhang 2013), which needs no end
that is known before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, NamedTuple

import torch
from torch import nn

from ..diffusion import Backbone
from ..diffusion.room import Room
from ..files.reading import field, number, shown
from .probe import Probe
from .progress import DRIFT, LEVELS

FIRST, WIDER = 10, 4 / 3
"""The step of the first look, and how much further on each next one is."""
BEGUN = 0.05
"""Of the way, below which unlearning has not begun and its patience does not run out."""
PATIENCE, MOVED = 6, 0.02
"""Looks in which nothing moved by more than this share of the way end it."""
SETTLED = 3
"""Looks in which what is achieved without the name did not move: it will go no further."""
ASTRAY = 4
"""Looks, each farther from the target than the one before and at last twice as far as at the
start, that end it."""
TAIL = 3
"""The mean's weights grow with the step to the power of this."""
FORGET, RETAIN = 8, 4
"""Held-out pictures at most that a look is taken at."""


class Mark(NamedTuple):
    """What a look showed, None of what has no measure."""

    step: int  # done so far
    achieved: float | None
    drift: float | None
    unnamed: float | None = None
    """Achieved where the style is not named, of a LoRA that began with its name forgotten."""

    def __str__(self) -> str:
        way = "no known way" if self.achieved is None else f"{self.achieved:.2f} of the way"
        way += "" if self.unnamed is None else f", {self.unnamed:.2f} without the name"
        return way if self.drift is None else f"{way}, drift {self.drift:.3f}"


class End(Enum):
    """Why unlearning ended, in words."""

    GOAL = "its goal was reached"
    STILL = "it went no further"
    ASTRAY = "it went away from its target"
    LIMIT = "its limit was reached"


@dataclass(frozen=True)
class Ended:
    """Where one repetition ended, and what the last look showed, None where there was none."""

    step: int
    limit: int
    end: End
    achieved: float | None = None
    drift: float | None = None

    def __str__(self) -> str:
        return f"{self.step} of {self.limit} steps, {self.end.value}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"end": self.end.name.lower()}

    @classmethod
    def read(cls, told: Any) -> Ended:
        """What `as_dict` gave. Raises ValueError."""
        step, limit = (int(number(field(told, k, object), k)) for k in ("step", "limit"))
        end = str(told.get("end")).upper()
        if end not in End.__members__:
            raise ValueError(f"an end is {shown(told.get('end'), 40)}")
        seen = (told.get(k) for k in ("achieved", "drift"))
        known = (None if x is None else number(x, "what a look showed") for x in seen)
        return cls(step, limit, End[end], *known)

    @classmethod
    def at(cls, step: int, limit: int, end: End, marks: Sequence[Mark]) -> Ended:
        return cls(step, limit, end, *(marks[-1][1:3] if marks else ()))


def looks(limit: int) -> list[int]:
    """The steps after which a look is taken; none after the last, which ends it anyway."""
    steps, at = [], float(FIRST)
    while round(at) < limit:
        steps.append(round(at))
        at *= WIDER
    return steps


def evaluations(limit: int, forget: int, retain: int, *, unnamed: bool = False) -> int:
    """Pictures through the UNet at most, for the looks at so many held-out pictures."""
    own = min(FORGET, forget) * (2 if unnamed else 1)
    return len(looks(limit)) * (own + min(RETAIN, retain)) * len(LEVELS)


def end(marks: Sequence[Mark], goal: float) -> End | None:
    """What follows from the looks so far: whether to stop, and why."""
    achieved = [m.achieved for m in marks if m.achieved is not None]
    drift = [m.drift for m in marks if m.drift is not None]
    if not achieved:
        return None
    kept = not drift or drift[-1] <= DRIFT
    settled = _settled([m.unnamed for m in marks if m.unnamed is not None], goal)
    if achieved[-1] >= goal and kept and settled:
        return End.GOAL
    lost = achieved[-ASTRAY:]
    if len(lost) == ASTRAY and lost == sorted(lost, reverse=True) and lost[0] < 0 > 1 + lost[-1]:
        return End.ASTRAY
    before, recent = achieved[:-PATIENCE], achieved[-PATIENCE:]
    if not before or max(achieved) < BEGUN:
        return None
    farther = max(recent) > max(before) + MOVED
    rising = recent[-1] > recent[0] + MOVED
    settling = not kept and drift[-1] < 0.9 * drift[-PATIENCE]
    return None if farther or rising or settling or not settled else End.STILL


def _settled(unnamed: Sequence[float], goal: float) -> bool:
    """Whether the style is forgotten where it is not named, too, as far as it will be."""
    if not unnamed or unnamed[-1] >= goal:
        return True
    before, recent = unnamed[:-SETTLED], unnamed[-SETTLED:]
    return bool(before) and max(recent) <= max(before) + MOVED


@dataclass(frozen=True)
class Watch:
    """Looks at what is being trained, with the mean of its weights in place."""

    probe: Probe
    room: Room
    due: frozenset[int]  # the steps after which a look is taken

    @classmethod
    def of(cls, probe: Probe, room: Room, due: Iterable[int], *, unnamed: bool = False) -> Watch:
        """unnamed: look at the prompts without the style's name, too."""
        return cls(probe.few(FORGET, RETAIN, unnamed=unnamed), room, frozenset(due))

    def look(self, backbone: Backbone, step: int) -> Mark:
        seen = self.probe.progress(self.probe.answers(backbone, self.room))
        overall = (m and m.overall for m in (seen.achieved, seen.drift, seen.unnamed))
        return Mark(step, *(s and s.value for s in overall))


MEAN = "mean"
"""Where an optimizer's state keeps the mean of a parameter; it is saved with the rest."""


@torch.no_grad()
def average(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter], t: int) -> None:
    """Takes the weights after step t = 1, 2 ... into their means."""
    for p in parameters:
        state = optimizer.state[p]
        if MEAN in state:
            state[MEAN].lerp_(p, (TAIL + 1) / (t + TAIL))
        else:
            state[MEAN] = p.detach().clone()


@contextmanager
def averaged(
    optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]
) -> Iterator[None]:
    """Inside, the weights are their means."""

    def swap() -> None:
        for p in parameters:
            if MEAN in optimizer.state[p]:
                p.data, optimizer.state[p][MEAN] = optimizer.state[p][MEAN], p.data

    swap()
    try:
        yield
    finally:
        swap()
