"""Units are given to workers, a few more than there are workers, until every one has its result."""

from __future__ import annotations

import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ClusterError
from ..steps import Steps, warn
from .board import Board
from .connect import TRIES
from .job import Told, Unit, topic

if TYPE_CHECKING:
    from distributed import Client, Future

AHEAD = 2
"""Units that are given to a worker: one at work, one that waits for it."""
AGAIN = 5.0
"""Seconds until a unit that another run has is asked for again."""
LOST = 30.0
"""Seconds without its scheduler after which a run ends."""
TICK = 0.5


class Given(NamedTuple):
    """A unit that was given out, and the worker that it was meant for."""

    unit: Unit
    worker: str


@dataclass(frozen=True)
class Failure:
    """A unit that was given up, and why."""

    unit: Unit
    error: str
    tries: int

    def __str__(self) -> str:
        times = "once" if self.tries == 1 else f"{self.tries} times"
        return f"{self.unit.name} failed {times}: {self.error}"


class Units:
    """One job's units on a cluster.

    result: is given every finished unit and what its worker returned; returns units that can be
    done now. files: of a unit, where the workers do not see the folder; see `what` of a unit.
    ahead: units that a worker holds; 1 where they are long, so that none waits behind another.
    """

    def __init__(
        self,
        client: Client,
        job: Told,
        board: Board,
        result: Callable[[Unit, Told], Iterable[Unit]],
        files: Callable[[Unit], Mapping[str, bytes]] = lambda _: {},
        ahead: int = AHEAD,
    ):
        self._client, self._job, self._board = client, job, board
        self._result, self._files, self._ahead = result, files, ahead
        self._ready: deque[Unit] = deque()
        self._rest: Iterator[Unit] = iter(())
        self._later: list[tuple[float, Unit]] = []
        self._given: dict[Future, Given] = {}
        self._tried: Counter[str] = Counter()
        self._refused: dict[str, str] = {}  # worker -> why
        self._inbox: queue.Queue[Any] = queue.Queue()
        self._unshared = False
        self._known: list[str] = []  # workers
        self._asked = 0.0
        self._doubts: list[str] = []
        self.failures: list[Failure] = []

    def run(self, units: Iterable[Unit]) -> Steps[list[Failure]]:
        """Every unit and those that follow from them. Raises ClusterError."""
        self._rest, left = iter(units), True
        self._client.subscribe_topic(topic(self._job), lambda event: self._inbox.put(event[1]))
        told = self._client.submit(_held(), self._job, key=topic(self._job), pure=False)
        seen = time.monotonic()
        try:
            while left or self._ready or self._later or self._given:
                if self._client.status == "running":
                    seen = time.monotonic()
                    left = self._give(told)
                elif time.monotonic() - seen > LOST or self._client.status == "closed":
                    raise ClusterError(
                        "The cluster's scheduler is gone; what was finished is kept, start one and "
                        "run again to continue."
                    )
                yield self._board.step()
                self._hear()
                for text in self._doubts:
                    yield warn(text)
                self._doubts.clear()
            yield self._board.step()
        finally:
            self._client.cancel([told, *self._given], force=True)
            self._client.unsubscribe_topic(topic(self._job))
        return self.failures

    def _give(self, told: Future) -> bool:
        """Give out as many units as the workers take; whether there may be more of them."""
        now = time.monotonic()
        self._ready.extend(u for at, u in self._later if at <= now)
        self._later = [(at, u) for at, u in self._later if at > now]
        able = [w for w in self._workers() if w not in self._refused]
        held = Counter(g.worker for g in self._given.values())
        while len(self._given) < self._ahead * len(able):
            if (unit := self._next()) is None:
                return False
            what = dict(unit.what)
            if self._unshared:
                what["files"] = self._files(unit)
            # Dask itself would give it to whom it has told of the job, and let others stay idle.
            worker = min(able, key=lambda w: held[w])
            held[worker] += 1
            future = self._client.submit(
                _performed(),
                told,
                {**unit.told(), "what": what},
                key=f"guda-{unit.key}-{self._tried[unit.key]}-{now}",
                workers=[worker],
                allow_other_workers=True,  # where that one is gone
                pure=False,
            )
            self._given[future] = Given(unit, worker)
            future.add_done_callback(self._inbox.put)
        return True

    def _next(self) -> Unit | None:
        if self._ready:
            return self._ready.popleft()
        if (unit := next(self._rest, None)) is not None:
            self._board.add([unit])
        return unit

    def _workers(self) -> list[str]:
        """Their addresses. Raises ClusterError where all of them have refused."""
        if (now := time.monotonic()) - self._asked > TICK:
            there: Any = self._client.nthreads()
            self._known, self._asked = list(there), now
        workers = self._known
        if workers and self._given == {} and all(w in self._refused for w in workers):
            why = "; ".join(dict.fromkeys(self._refused.values()))
            raise ClusterError(f"No worker of the cluster can do this job: {why}.")
        return workers

    def _hear(self) -> None:
        """What has come in, after a short wait for the first of it."""
        try:
            told = self._inbox.get(timeout=TICK)
            while True:
                self._report(told) if isinstance(told, dict) else self._take(told)
                told = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _report(self, told: Told) -> None:
        all_given = (g.unit for g in self._given.values())
        unit = next((u for u in all_given if u.key == told.get("unit")), None)
        if unit is not None and "hangs" in told:
            self._failed(unit, f"it made no step for {told['hangs']:g} s", gone=True)
        elif unit is not None:
            self._board.report(unit.key, told["done"])

    def _take(self, future: Future) -> None:
        given = self._given.pop(future, None)
        if given is None or (unit := given.unit).key in self._board.failed:
            return
        if future.status == "finished":
            self._answered(unit, future.result())
        elif future.status == "cancelled":  # the scheduler has lost it
            self._ready.append(unit)
        else:
            self._failed(unit, _reason(future), final="KilledWorker" in repr(future.exception()))

    def _answered(self, unit: Unit, told: Told) -> None:
        state, worker = told["state"], told["worker"]
        if state == "done":
            self._unshared = self._unshared or not told["shared"]
            self._board.finish(unit.key)
            follow = list(self._result(unit, told))
            self._board.add(follow)
            self._ready.extendleft(reversed(follow))
        elif state in ("busy", "stopped"):
            self._later.append((time.monotonic() + AGAIN, unit))
        elif state == "refused":
            if worker not in self._refused:
                self._doubts.append(f"The worker {worker} is not used: {told['error']}.")
            self._refused[worker] = told["error"]
            self._ready.appendleft(unit)
        else:
            self._failed(unit, told["error"], final=not told["again"])

    def _failed(self, unit: Unit, error: str, *, final: bool = False, gone: bool = False) -> None:
        """gone: the scheduler gives it to another worker by itself."""
        self._tried[unit.key] += 1
        tries = self._tried[unit.key]
        if final or tries >= TRIES:
            self._board.fail(unit.key)
            self.failures.append(Failure(unit, error, tries))
            mine = [f for f, g in self._given.items() if g.unit.key == unit.key]
            for future in mine:
                del self._given[future]
            self._client.cancel(mine, force=True)
        elif not gone:
            self._later.append((time.monotonic() + TICK, unit))


def _held() -> Callable[[Told], Told]:
    """The job on the cluster: computed again wherever it is lost.

    Both functions travel whole, as they are inside another: where this package has another name, as
    in ComfyUI, workers would not find them by theirs.
    """

    def hold(job):
        return job

    return hold


def _performed() -> Callable[[Told, Told], Told]:
    def perform(job, unit):
        from importlib import import_module

        return import_module("guda.cluster.worker").perform(job, unit)

    return perform


def _reason(future: Future) -> str:
    error = future.exception()
    if "KilledWorker" in type(error).__name__:
        return "its worker died each time, as when memory runs out"
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason'}"
