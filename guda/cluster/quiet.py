"""Imported first by the workers of a local cluster: Ctrl-C is for the run, which then ends them."""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
