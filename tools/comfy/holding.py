"""Loaded by the tests' ComfyUI: a run stands still where it is to be interrupted.

So it is interrupted there, and nowhere later, on a machine of any speed: see `Comfy.stopped`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import comfy.model_management as mm
import folder_paths
from comfy.utils import ProgressBar
from comfy_execution.utils import get_executing_context

NODE_CLASS_MAPPINGS: dict[str, type] = {}
PLACE = Path(folder_paths.base_path, "hold")  # holds a node's id and a value of its progress
tell = ProgressBar.update_absolute


def hold(bar: ProgressBar, value: int, *args: Any, **options: Any) -> None:
    held = is_held(value)
    if held:
        bar._last_sent_value = -1  # newer cores leave out what comes soon after what they sent
    tell(bar, value, *args, **options)
    while held and not mm.processing_interrupted():
        time.sleep(0.01)


def is_held(value: int) -> bool:
    if not PLACE.is_file():
        return False
    node, least = PLACE.read_text("utf-8").split()
    context = get_executing_context()
    return context is not None and context.node_id == node and value >= int(least)


ProgressBar.update_absolute = hold
