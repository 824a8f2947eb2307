"""The number format in which a model computes.

The UNet's weights are kept in it and autocast computes in it; LoRA weights, losses and sums stay
float32 or better. float16 is the choice of "auto" on an accelerator because scores are small
differences, which bfloat16 moves further (`benchmarks/precision.py` measures by how much).
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from ..config import PRECISIONS
from ..errors import ConfigError, first_line


def choose(precision: str, device: torch.device | str) -> torch.dtype:
    """The format that `precision` means on `device`. Raises ConfigError."""
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}; choose one of: {', '.join(PRECISIONS)}.")
    device = torch.device(device)
    if precision == "auto":
        half = device.type != "cpu" and not _objection(device, torch.float16)
        return torch.float16 if half else torch.float32
    dtype = getattr(torch, precision)
    reason = _objection(device, dtype)
    if reason:
        raise ConfigError(
            f"precision is {precision!r}, which {device} cannot compute in ({reason}); choose auto "
            "or float32."
        )
    return dtype


def _objection(device: torch.device, dtype: torch.dtype) -> str:
    """Why `autocast` would fail; empty when it would not. DirectML, for one, has no autocast."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            autocast(device, dtype)
    except (AssertionError, RuntimeError) as error:
        return first_line(error)
    return ""


def of_file(precision: str, device: torch.device | str) -> torch.dtype:
    """The format to read a checkpoint's weights in, before they are cast to `precision`.

    Their fingerprint is of float16 values, so only float16 can be read at once, at half the memory.
    """
    dtype = choose(precision, device)
    return dtype if dtype == torch.float16 else torch.float32


def cast(module: nn.Module, dtype: torch.dtype) -> None:
    """As `module.to(dtype)`, past the advice that diffusers logs for it."""
    nn.Module.to(module, dtype)


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Around a forward pass of a network whose weights are `dtype`; nothing for float32."""
    if dtype == torch.float32 or device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, dtype)
