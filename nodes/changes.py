"""Files that a node read or wrote, and whether they are as they were. Only the standard library."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

_SECRET = secrets.token_bytes(32)


def walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """(folder, file names) below `root`, through links, but each real folder once."""
    seen: set[str] = set()
    for base, dirs, files in os.walk(root, followlinks=True):
        real = os.path.realpath(base)
        if real in seen:
            dirs.clear()
            continue
        seen.add(real)
        dirs.sort()
        yield base, sorted(files)


def stamps(paths: Iterable[str | os.PathLike]) -> list[list]:
    """[path, size, time of change] of each file; of a missing one the path alone."""
    stamped = []
    for path in paths:
        try:
            stat = os.stat(path)
            stamped.append([os.fspath(path), stat.st_size, stat.st_mtime_ns])
        except OSError:
            stamped.append([os.fspath(path)])
    return stamped


def seen(path: Path) -> str:
    """For `fingerprint_inputs`: changes when the file, or any file below the folder, does.

    ComfyUI keeps the answer in the prompt, and so in every picture that the graph saves: hence a
    digest, under a key of this process, from which nobody can tell or try out what is there.
    """
    files = (os.path.join(base, name) for base, names in walk(path) for name in names)
    marks = stamps([path] if path.is_file() else files)
    return hashlib.blake2b(repr(marks).encode(), digest_size=16, key=_SECRET).hexdigest()
