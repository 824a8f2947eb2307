"""Weights that cannot be a trained model's: not numbers, huge, or nothing but zeros."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...errors import ModelError

LARGEST = 1e4
"""No weight of Stable Diffusion comes near; from 65504 on float16 overflows."""


def check_values(value: Tensor, name: str, where: str, what: str) -> None:
    """Raises ModelError for values of the tensor `name` that no training leaves behind."""
    if not value.numel() or not value.is_floating_point():
        return
    low, high = (float(x) for x in torch.aminmax(value.detach()))
    if low != low or high != high:
        bad = "NaN"
    elif max(-low, high) == float("inf"):
        bad = "infinite values"
    elif max(-low, high) > LARGEST:
        bad = f"values up to {max(-low, high):.3g}"
    else:
        return
    raise _broken(where, what, name, bad)


def check_zeros(parts: Mapping[str, nn.Module], where: str) -> None:
    """Raises ModelError for a matrix of zeros, as unfinished downloads have them."""
    for what, module in parts.items():
        for name, value in module.state_dict().items():
            if value.dim() > 1 and not value.flatten()[:64].any() and not value.any():
                raise _broken(where, what, name, "nothing but zeros")


def _broken(where: str, what: str, name: str, found: str) -> ModelError:
    return ModelError(
        f"{where} has a broken {what} ({name} holds {found}), with which every answer would be "
        "wrong; download it again, or use the file from before it was converted or merged."
    )
