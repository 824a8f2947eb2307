"""Temporary files: their names, and the removal of what killed runs left of them.

A name tells whose file it is, `.guda-<host>-<process>-<random>.tmp`, and ends so that no list of
models, LoRAs or pictures shows it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import uuid
from pathlib import Path

OURS = re.compile(r"\.guda-([0-9a-f]{8})-(\d+)-[0-9a-f]{12}\.tmp")
EARLIER = re.compile(r"\.[0-9a-f]{12}(\.(safetensors|json|png|html|csv|md|txt))?")
"""The names up to version 0.1.0."""
ABROAD = 24 * 3600
"""Seconds after which a file of another computer counts as left behind."""


def beside(path: Path) -> Path:
    """A new name in the folder of `path`."""
    return path.with_name(f".guda-{_host()}-{os.getpid()}-{uuid.uuid4().hex[:12]}.tmp")


def sweep(folder: Path, *, alone: bool = False) -> int:
    """Remove the temporary files in `folder` whose process has ended; returns how many.

    alone: nobody else writes there, as under a lock, so that all of them are left behind.
    """
    removed = 0
    try:
        names = os.listdir(folder)
    except OSError:
        return 0
    for name in names:
        ours = OURS.fullmatch(name)
        if not (ours or EARLIER.fullmatch(name)):
            continue
        path = folder / name
        if ours and not alone and _in_use(path, ours[1], int(ours[2])):
            continue
        with contextlib.suppress(OSError):
            path.unlink()
            removed += 1
    return removed


def _in_use(path: Path, host: str, process: int) -> bool:
    import time

    import psutil

    try:
        changed = path.stat().st_mtime
    except OSError:
        return False
    if host != _host():
        return time.time() - changed < ABROAD
    try:
        # A number is given again: a process that is younger than the file did not write it.
        return psutil.Process(process).create_time() <= changed + 2
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _host() -> str:
    return hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()
