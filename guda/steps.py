"""Progress of long work: generators yield small frozen records and return their result.

The caller owns display, logging and stopping: to cancel, stop iterating. What whoever asked for
the work has to see, but is no reason to refuse it, is a step as well: `yield warn("...")` anywhere
in the work. The command line, the nodes and, through `keeps_warnings`, the result show it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from .escape import visible

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True)
class Step:
    """One unit of work is done: `done` of `total` in the stage `stage`."""

    stage: str
    """Such as wait, pictures, encode, check, look, start, unlearn, stop, gate, score or warning."""
    done: int
    total: int
    group: str = ""
    loss: float | None = None  # forget + preserve_weight * preserve
    forget: float | None = None
    preserve: float | None = None
    warning: str = ""  # whole sentences; such a step is no progress
    note: str = ""  # what there is to say of it

    def __str__(self) -> str:
        if self.warning:
            return f"warning: {self.warning}"
        text = f"{self.stage} {self.group}".strip()
        text += "" if self.stage == "wait" else f" {self.done}/{self.total}"
        text += f", loss {self.loss:.4f}" if self.loss is not None else ""
        return f"{text}, {self.note}" if self.note else text


Steps = Generator[Step, None, T]


def warn(text: str) -> Step:
    """A warning: whole sentences that name what is doubtful, its value and the remedy."""
    return Step("warning", 0, 0, warning=visible(text, keep=""))


def about(*things: Any) -> Steps[None]:
    """The warnings that models, groups or sets carry in an attribute `warnings`, if they do."""
    for thing in things:
        for text in getattr(thing, "warnings", ()):
            yield warn(text)


def passed(steps: Steps[T], change: Callable[[Step], Step | None]) -> Steps[T]:
    """The same work; its steps are told as `change` makes them, and those are not that it drops."""
    try:
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return end.value
            if (told := change(step)) is not None:
                yield told
    finally:
        steps.close()


class Heard:
    """Passes steps on, every warning once, and keeps the warnings' texts in `texts`."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(self._texts)

    def __call__(self, steps: Steps[T]) -> Steps[T]:
        return passed(steps, self._once)

    def _once(self, step: Step) -> Step | None:
        if step.warning in self._texts:
            return None
        if step.warning:
            self._texts[step.warning] = None
        return step


def keeps_warnings(work: Callable[P, Steps[T]]) -> Callable[P, Steps[T]]:
    """For a generator function: its result, a dataclass with a field `warnings`, has them all."""

    @functools.wraps(work)
    def heard(*args: P.args, **kwargs: P.kwargs) -> Steps[T]:
        ear = Heard()
        result: Any = yield from ear(work(*args, **kwargs))
        return dataclasses.replace(result, warnings=ear.texts)

    return heard


def drain(steps: Steps[T], on_step: Callable[[Step], None] | None = None) -> T:
    """Run `steps` to its end, report every record to `on_step`, return the result."""

    def told(step: Step) -> None:
        if on_step is not None:
            on_step(step)

    try:
        next(passed(steps, told))
    except StopIteration as end:
        return end.value
    raise AssertionError("passed told a step that was dropped")
