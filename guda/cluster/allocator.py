"""A worker keeps the memory that it frees, as any other process does.

Dask's nanny starts its workers with MALLOC_TRIM_THRESHOLD_=65536, by which glibc gives every
freed block back at once, and asks for the next one anew: each activation of the model is then paid
for in page faults, which doubles the CPU time of a small UNet.
"""

from __future__ import annotations

import ctypes
import sys

TRIM, MMAP = -1, -3  # of malloc.h
KEPT = 64 << 20
"""Bytes at the end of the heap that stay; glibc itself goes up to so many."""
WHOLE = 32 << 20
"""Bytes from which a block is asked for, and given back, by itself."""


def keep_freed() -> None:
    """Nothing where there is no glibc: the setting is its own."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(TRIM, KEPT)
        mallopt(MMAP, WHOLE)
