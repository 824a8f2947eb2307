"""How long a run still takes, and how often it says where it stands."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

RECENT = 60.0  # seconds whose pace is held to be today's


class Clock:
    """Time left, from the pace of the last minute. Call it with every place."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._total = 0

    def __call__(self, value: int, total: int, now: float | None = None) -> float | None:
        """Seconds left; None as long as nothing is known. Another total starts anew."""
        now = time.monotonic() if now is None else now
        if total != self._total or (self._seen and value < self._seen[-1][1]):
            self._seen.clear()
            self._total = total
        self._seen.append((now, value))
        while len(self._seen) > 2 and now - self._seen[0][0] > RECENT:
            self._seen.popleft()
        start, first = self._seen[0]
        passed = now - start
        if value <= first or passed < 1.0:
            return None
        return (total - value) * passed / (value - first)

    def restart(self) -> None:
        """What went before says nothing about the pace: it was found done, not done."""
        self._seen.clear()


def time_left(seconds: float | None) -> str:
    """ ", about 3 min left"; nothing where it is not known."""
    if seconds is None or seconds < 1:
        return ""
    if seconds < 90:
        return f", about {max(5 * round(seconds / 5), 1)} s left"
    if seconds < 5400:
        return f", about {round(seconds / 60)} min left"
    return f", about {seconds / 3600:.1f} h left"


class Throttle:
    """`with throttle as due:` is due once per `interval`, more rarely where what is due costs more.

    Its cost is processor time alone: a run that was held up for long is not silent for longer.
    """

    def __init__(
        self,
        interval: float,
        now: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
    ):
        self._interval, self._now, self._spent = interval, now, spent
        self._next = 0.0

    def __enter__(self) -> bool:
        self._before = self._spent()
        self._due = self._now() >= self._next
        return self._due

    def __exit__(self, *_: object) -> None:
        if self._due:
            cost = self._spent() - self._before
            self._next = self._now() + max(self._interval, 20 * cost)
