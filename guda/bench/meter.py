"""What a method costs: wall time, UNet evaluations and peak memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook


@dataclass
class Cost:
    """seconds; pictures that went through the UNet; MiB above what the process held before."""

    seconds: float = 0.0
    unet_evaluations: int | None = 0  # None where they cannot be counted
    peak_mib: float | None = None
    disk_kib: float = 0.0  # per group


@contextmanager
def metered(kind: type[nn.Module]) -> Iterator[Cost]:
    """Count what every UNet of the class `kind` does; the cost is filled in as the block ends.

    A training step counts its forward pass. The peak is known on Linux only, else None.
    """
    cost = Cost()
    counted = 0

    def count(module: nn.Module, args: tuple, output: Any) -> None:
        nonlocal counted
        if isinstance(module, kind):
            counted += len(output[0])

    hook = register_module_forward_hook(count)
    before = _reset_peak()
    started = time.perf_counter()
    try:
        yield cost
    finally:
        hook.remove()
        cost.unet_evaluations = counted
        cost.seconds = time.perf_counter() - started
        if before is not None:
            cost.peak_mib = max(0.0, _status("VmHWM") - before)


def _reset_peak() -> float | None:
    """Let the kernel measure the peak anew; the memory held now, in MiB."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(x.split()[1]) / 1024 for x in lines if x.startswith(f"{name}:"))
