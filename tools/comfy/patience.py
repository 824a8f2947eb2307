"""Waits end when progress stops, not by the clock: a busy machine is only slow."""

from __future__ import annotations

import subprocess
import time

import psutil

PATIENCE = 120.0  # seconds without progress


class Patience:
    """`over` after so many seconds without progress.

    Progress is `moved()`, or processor time that the server's process takes.
    """

    def __init__(self, process: subprocess.Popen | None, seconds: float):
        self.process = process
        self.seconds = seconds
        self.worked = 0.0
        self.moved()

    def moved(self) -> None:
        self.since = time.monotonic()

    @property
    def over(self) -> bool:
        worked = self._processor_time()
        if worked > self.worked + 0.1 * self.seconds:
            self.worked = worked
            self.moved()
        return time.monotonic() - self.since > self.seconds

    def _processor_time(self) -> float:
        if self.process is None:
            return 0.0
        try:
            times = psutil.Process(self.process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return times.user + times.system
