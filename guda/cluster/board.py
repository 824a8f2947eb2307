"""How far all units are: one line for all of them, with the time that is left."""

from __future__ import annotations

import time
from collections.abc import Iterable

from ..jobs.plan import duration
from ..steps import Step
from .job import Unit


class Board:
    """Units that are to be done, what workers report of them, and the link to the dashboard."""

    def __init__(self, stage: str, units: Iterable[Unit], link: str = "", count: int = 0):
        """count: of all units, where they are not all known at once and have one step each."""
        self._stage, self._link, self._count = stage, link, count
        self._sizes = {u.key: u.size for u in units}
        self._at: dict[str, int] = {}
        self._begun: tuple[float, int] | None = None  # when, and the steps that were done before
        self.done: set[str] = set()
        self.failed: set[str] = set()

    def add(self, units: Iterable[Unit]) -> None:
        self._sizes |= {u.key: u.size for u in units}

    def report(self, key: str, done: int) -> None:
        """A worker has come to step `done` of a unit."""
        if key in self._sizes and key not in self.done:
            self._begun = self._begun or (time.monotonic(), self._done)
            self._at[key] = min(done, self._sizes[key])

    def finish(self, key: str) -> None:
        self._at.pop(key, None)
        self._sizes.setdefault(key, 1)
        self.done.add(key)

    def fail(self, key: str) -> None:
        self._at.pop(key, None)
        self.failed.add(key)

    def step(self) -> Step:
        total, done = max(self._count, sum(self._sizes.values())), self._done
        units = f"({len(self.done)} of {max(self._count, len(self._sizes))} units)"
        failed = f"{len(self.failed)} failed" if self.failed else ""
        note = ", ".join(filter(None, (failed, self._left(done, total), self._link)))
        return Step(self._stage, done, total, units, note=note)

    @property
    def _done(self) -> int:
        return sum(self._sizes[k] for k in self.done | self.failed) + sum(self._at.values())

    def _left(self, done: int, total: int) -> str:
        if self._begun is None:
            return ""
        spent, made = time.monotonic() - self._begun[0], done - self._begun[1]
        if spent < 5 or made <= 0 or done == total:
            return ""
        return f"about {duration(spent / made * (total - done))} left"
