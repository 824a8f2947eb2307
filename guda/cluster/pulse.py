"""The second thread of a worker: heartbeats while a unit advances, an end when it hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .lease import BEAT, Lease


class Pulse:
    """Beats for the lease as long as `step` is called at least every `patience` seconds.

    on_hang: called once, from this thread, when it was not; nobody else can end a thread that
    waits for a device or a disk that does not answer.
    """

    def __init__(self, patience: float, on_hang: Callable[[], None], beat: float = BEAT):
        self.patience, self._on_hang, self._beat = patience, on_hang, beat
        self._last = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guda pulse", daemon=True)
        self.lease: Lease | None = None
        self.lost = False
        """Whether another has taken the lease over."""

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        if self.lease is not None:
            self.lease.release()

    def step(self) -> None:
        self._last = time.monotonic()

    def _run(self) -> None:
        while not self._end.wait(min(self._beat, self.patience / 4)):
            if time.monotonic() - self._last > self.patience:
                self._on_hang()
                return
            if self.lease is not None and not self.lease.beat():
                self.lost = True
                return
