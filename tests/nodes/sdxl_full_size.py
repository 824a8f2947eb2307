"""SDXL at its real size through the server, on request: 7 GB on disk, minutes.

The peak is 19 GB of memory, with the mapped pages of the file, about 14 GB without them.

python -m pytest tests/nodes/sdxl_full_size.py -s
"""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest

from tools.comfy.client import Comfy

from .checkpoint_graph import native, scored, unlearning, used
from .test_checkpoint import (
    check_full_size,
    check_learned,
    check_used,
    deltas,
    described,
    done,
    only,
)

TIMEOUT = 3600.0


@pytest.mark.slow
def test_sdxl_at_full_size(tmp_path: Path):
    assert check_full_size(tmp_path, "sdxl", check_in_turn, ["--bf16-unet"]) > 6e9


def check_in_turn(comfy: Comfy, file: str, name: str) -> dict[str, float]:
    """load -> unlearn one step -> save -> attribute; then, with the memory free again, Load LoRA.

    Returns the seconds of each part.
    """
    at = [time.monotonic()]
    learning = unlearning(file, name, steps=1, precision="bfloat16")
    check_learned(comfy, done(comfy, learning, TIMEOUT), name)
    at.append(time.monotonic())
    graph = only(learning, "model") | only(used(name), "set") | described()
    result = done(comfy, graph | scored(["set", 0], image=["draw", 0]), TIMEOUT)
    found = deltas(result)
    assert "model" in result.cached
    assert sorted(found) == ["Ink", "Oil"] and all(found.values())
    at.append(time.monotonic())
    comfy.free()
    check_used(comfy, done(comfy, native(file) | used(name), TIMEOUT))
    at.append(time.monotonic())
    parts = ("load and unlearn", "attribute", "Load LoRA and sample")
    return dict(zip(parts, (b - a for a, b in pairwise(at)), strict=True))
