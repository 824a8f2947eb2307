"""What runs on a worker: the model once per process, one unit at a time.

A worker runs this package and nothing that a stranger wrote; what it is told are JSON values.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import DivergedError, GudaError, OutOfMemoryError, first_line
from ..steps import Steps
from . import allocator, bench_unit, lease, measure_unit, score_unit, unlearn_unit
from .desk import Desk, RefusedError, prepared
from .job import Told, topic
from .pulse import Pulse

HUNG = 75
"""Exit code of a worker whose unit made no step."""
COUNTED = ("unlearn",)
"""Stages whose steps are those that a unit has."""
PREPARING = 1800.0
"""Seconds that a model may take to be loaded."""
REPORTED = 0.5
"""Seconds between two reports of a unit's progress."""
KINDS: Mapping[str, Callable[[Desk, Told], Steps[Told]]] = {
    "unlearn": unlearn_unit.perform,
    "score": score_unit.perform,
    "measure": measure_unit.perform,
    "bench": bench_unit.perform,
}
_one = threading.Lock()  # one unit at a time, whatever the worker's number of threads


class StoppedError(Exception):
    """Nobody waits for the unit any more."""


def perform(job: Told, unit: Told) -> Told:
    """Do a unit. Returns JSON values (but for bytes of files), and never raises GudaError.

    state: done, busy (another has it), stopped, refused (this worker cannot), or failed.
    """
    started, worker = time.monotonic(), _worker()
    if worker is not None:
        allocator.keep_freed()
    with _one:
        try:
            # A model comes from a slow disk in one step; nobody waits for its lease meanwhile.
            most = max(PREPARING, job["patience"])
            with Pulse(most, lambda: _hang(worker, job, unit)) as pulse:
                desk = prepared(job, worker and worker.local_directory)
                ready = time.monotonic()
                result = _do(desk, unit, pulse)
                result |= {"prepared": ready - started, "shared": desk.shared}
        except StoppedError:
            result = {"state": "stopped"}
        except RefusedError as error:
            result = {"state": "refused", "error": str(error)}
        except GudaError as error:
            again = not isinstance(error, DivergedError | OutOfMemoryError)
            result = {"state": "failed", "error": str(error), "again": again}
        except Exception as error:
            told = f"{type(error).__name__}: {first_line(error)}"
            result = {"state": "failed", "error": told, "again": True}
    at = "" if worker is None else worker.address
    return {**result, "seconds": time.monotonic() - started, "worker": at}


def _do(desk: Desk, unit: Told, pulse: Pulse) -> Told:
    pulse.lease = lease.take(desk.lease(unit))
    if pulse.lease is None:
        return {"state": "busy"}
    pulse.step()
    pulse.patience = desk.job["patience"]
    steps, reported = KINDS[unit["kind"]](desk, unit), 0.0
    try:
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return {"state": "done", **end.value}
            pulse.step()
            if pulse.lost:
                return {"state": "busy"}
            if (now := time.monotonic()) - reported > REPORTED:
                reported = now
                if not _is_wanted():
                    raise StoppedError
                _say(desk.job, unit=unit["key"], done=step.done * (step.stage in COUNTED))
    finally:
        steps.close()


def _worker() -> Any:
    """The Dask worker of this thread; None outside of one."""
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None


def _is_wanted() -> bool:
    """Whether the scheduler still waits for the unit of this thread."""
    worker = _worker()
    if worker is None:
        return True
    task = worker.state.tasks.get(worker.get_current_task())
    return task is not None and task.state == "executing" and worker.status.name == "running"


def _say(job: Told, **told: Any) -> None:
    worker = _worker()
    if worker is not None:
        worker.log_event(topic(job), told)


def _hang(worker: Any, job: Told, unit: Told) -> None:
    """End the process, which its nanny starts anew; the unit goes on elsewhere."""
    if worker is not None:
        worker.log_event(topic(job), {"unit": unit["key"], "hangs": job["patience"]})
    time.sleep(1)  # until it is said
    os._exit(HUNG)
