"""Where a model's parts are: the one at work on the device, the others out of its way."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ..diffusion.room import is_out_of_memory, release
from ..errors import ConfigError, OutOfMemoryError, first_line


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
    try:
        part.to(device)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"The memory of {device} has no room for the model ({first_line(error)}). Close what "
            "else uses it, load the model with precision float16 or bfloat16, or run on the CPU."
        ) from None


def device_of(name: str) -> torch.device:
    """The device by its name; auto: an accelerator where there is one."""
    if name == "auto":
        accelerator = getattr(torch, "accelerator", None)
        if accelerator is not None and accelerator.is_available():
            return accelerator.current_accelerator() or torch.device("cpu")
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # not with meta, which holds no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"device is {name!r}, which cannot be used here ({first_line(error)}); try cpu."
        ) from None
    return device


def exact(device: torch.device | str) -> torch.device:
    """With its number, as tensors name it: cuda:0 for cuda."""
    return torch.empty(0, device=device).device


def _is_on(module: nn.Module, device: torch.device) -> bool:
    return all(p.device == device for p in module.parameters())
