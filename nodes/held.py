"""A loaded model as ComfyUI's RAM-pressure cache sees it, which drops outputs when memory is short.

Of an output that is no tensor it knows the size of two kinds: what has `get_ram_usage` (up to
ComfyUI 0.3), and what has a ModelPatcher as its `patcher`, which is the first to go when it is of
an older workflow (0.4 and later). Anything else it takes for next to nothing, and keeps. A model
that was dropped is loaded again when a workflow needs it: its node runs anew, from the same files.
"""

from __future__ import annotations

from typing import Any

from comfy.model_patcher import ModelPatcher
from torch import nn

from .runtime import compute_device, offload_device


def held(model: Any) -> Any:
    """The model itself, as an output. Nothing here refers back to it, so it goes at once."""
    parts = nn.ModuleList(model.modules())
    model.patcher = ModelPatcher(parts, compute_device(), offload_device())
    model.get_ram_usage = model.patcher.model_size
    return model
