"""Where a model's parts are: the one at work on the device, the others out of its way."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ..memory import release


def bring(
    part: nn.Module, parts: Iterable[nn.Module], device: torch.device, rest: torch.device
) -> None:
    """`part` to `device`, after the other `parts` have gone to `rest`; nothing if both are one."""
    if device == rest or _is_on(part, device):
        return
    for other in parts:
        if other is not part and not _is_on(other, rest):
            other.to(rest)
    release(device)
    part.to(device)


def exact(device: torch.device | str) -> torch.device:
    """With its number, as tensors name it: cuda:0 for cuda."""
    return torch.empty(0, device=device).device


def _is_on(module: nn.Module, device: torch.device) -> bool:
    return all(p.device == device for p in module.parameters())
