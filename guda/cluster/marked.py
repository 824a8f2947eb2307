"""The file by which workers know that they see the folder of the results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..files import temporary, write_bytes
from . import lease
from .job import Told, topic


@contextmanager
def marked(folder: Path, told: Told) -> Iterator[None]:
    """At its end, what workers that were killed left there is removed."""
    path = folder / lease.FOLDER / f"{told['run']}{lease.MARK}"
    write_bytes(path, topic(told).encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lease.sweep(folder / lease.FOLDER)
        temporary.sweep(folder)
