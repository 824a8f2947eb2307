"""How far all units are: one line for all of them, with the time that is left."""

from __future__ import annotations

import time
from collections.abc import Iterable

from ..steps import Step
from .job import Unit


class Board:
    """Units that are to be done, what workers report of them, and the link to the dashboard."""

    def __init__(self, stage: str, units: Iterable[Unit], link: str = ""):
        self._stage, self._link = stage, link
        self._sizes = {u.key: u.size for u in units}
        self._at: dict[str, int] = {}
        self._begun: float | None = None
        self.done: set[str] = set()
        self.failed: set[str] = set()

    def add(self, units: Iterable[Unit]) -> None:
        self._sizes |= {u.key: u.size for u in units}

    def report(self, key: str, done: int) -> None:
        """A worker has come to step `done` of a unit."""
        if key in self._sizes and key not in self.done:
            self._begun = self._begun or time.monotonic()
            self._at[key] = min(done, self._sizes[key])

    def finish(self, key: str) -> None:
        self._at.pop(key, None)
        self.done.add(key)

    def fail(self, key: str) -> None:
        self._at.pop(key, None)
        self.failed.add(key)

    def step(self) -> Step:
        total = sum(self._sizes.values())
        done = sum(self._sizes[k] for k in self.done | self.failed) + sum(self._at.values())
        units = f"({len(self.done)} of {len(self._sizes)} units)"
        failed = f"{len(self.failed)} failed" if self.failed else ""
        note = ", ".join(filter(None, (failed, self._left(done, total), self._link)))
        return Step(self._stage, done, total, units, note=note)

    def _left(self, done: int, total: int) -> str:
        if self._begun is None or not done or done == total:
            return ""
        from ..jobs.plan import duration

        spent = time.monotonic() - self._begun
        return f"about {duration(spent / done * (total - done))} left" if spent > 5 else ""
