"""Progress of long work: generators yield small frozen records and return their result.

The caller owns display, logging and stopping: to cancel, stop iterating.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """One unit of work is done: `done` of `total` in the stage `stage`."""

    stage: str  # "wait", "pictures", "encode", "unlearn", "gate", "score"
    done: int
    total: int
    group: str = ""
    loss: float | None = None  # forget + preserve_weight * preserve
    forget: float | None = None
    preserve: float | None = None
    note: str = ""  # what the user has to know besides: what was damaged, what is waited for

    def __str__(self) -> str:
        if not self.total and self.note:
            return self.note
        text = f"{self.stage} {self.group}".strip() + f" {self.done}/{self.total}"
        return text if self.loss is None else f"{text}, loss {self.loss:.4f}"


Steps = Generator[Step, None, T]


def noted(steps: Steps[T], note: str) -> Steps[T]:
    """The same steps, the first of them with `note`."""
    try:
        first = next(steps)
    except StopIteration as end:
        return end.value
    try:
        yield dataclasses.replace(first, note=f"{note} {first.note}".strip())
        return (yield from steps)
    finally:
        steps.close()


def drain(steps: Steps[T], on_step: Callable[[Step], None] | None = None) -> T:
    """Run `steps` to its end, report every record to `on_step`, return the result."""
    try:
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return end.value
            if on_step is not None:
                on_step(step)
    finally:
        steps.close()
