"""Pictures as tensors: checked, fitted, written as PNG."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...errors import ImageError
from ...files import write_bytes
from ..shapes import Size, box
from .opening import MIN_PIXELS, too_small


def fit(image: Tensor, size: int | Size, *, checked: bool = False) -> Tensor:
    """Scale to `size` (Lanczos, antialiased) and cut what stands out evenly, clamped to [0, 1].

    image: as `check_tensor` has it; checked: whether it has seen this one already. size: the side
    of a square, or (height, width); nothing is stretched.
    Returns float32 on the CPU, (3, H, W) or (n, 3, H, W). Raises ImageError.
    """
    size = (size, size) if isinstance(size, int) else size
    if not checked:
        check_tensor(image)
    rgb = _rgb(image)
    h, w = rgb.shape[-2:]
    # The box cuts at sub-pixel accuracy and lets the filter see the pixels beyond it, so this is
    # resize-then-crop without the intermediate picture (huge for a very long one).
    part = box(h, w, size)
    scaled = np.empty((rgb.shape[:-2].numel(), *size), np.float32)
    for i, channel in enumerate(rgb.reshape(-1, h, w).numpy()):
        resized = Image.fromarray(channel).resize(
            (size[1], size[0]), Image.Resampling.LANCZOS, part
        )
        scaled[i] = np.asarray(resized)
    return torch.from_numpy(scaled).reshape(*rgb.shape[:-2], *size).clamp_(0, 1)


def check_tensor(image: Tensor) -> None:
    """Raises ImageError for anything but finite floats (c, H, W) or (n, c, H, W), large enough.

    c = 3, or 1 (repeated by `fit`), or 4 (opacity, dropped as ComfyUI's nodes do).
    """
    _check_values(image)
    h, w = image.shape[-2:]
    if min(h, w) < MIN_PIXELS:
        raise ImageError(f"the picture {too_small(w, h)}")


def as_rgb(image: Tensor) -> Tensor:
    """float32 CPU copy of (c, H, W) or (n, c, H, W) with three channels, clamped to [0, 1].

    c as in `check_tensor`; of any size. Raises ImageError.
    """
    _check_values(image)
    return _rgb(image)


def _check_values(image: Tensor) -> None:
    shape = tuple(image.shape)
    if image.dim() not in (3, 4) or shape[-3] not in (1, 3, 4):
        raise ImageError(
            f"the picture is a tensor of shape {shape}; give (channels, height, width) or "
            "(n, channels, height, width) with 1, 3 or 4 channels."
        )
    if not image.is_floating_point():
        raise ImageError(f"the picture holds {image.dtype}; give floats between 0 and 1.")
    finite = image.detach().isfinite()
    if not finite.all():
        raise ImageError(
            f"the picture holds {int((~finite).sum())} values that are not finite (NaN or "
            "infinity); check the node or model that made it."
        )


def _rgb(image: Tensor) -> Tensor:
    image = image.detach().to("cpu", torch.float32).clamp(0, 1)
    if image.shape[-3] == 4:
        return image[..., :3, :, :].contiguous()
    return image.expand(*image.shape[:-3], 3, *image.shape[-2:]).contiguous()


def save_png(image: Tensor, path: Path) -> None:
    """Write (3, H, W) in [0, 1] as an 8-bit PNG, whole or not at all. Raises SaveError."""
    if image.dim() != 3:
        raise ImageError(
            f"{path}: a tensor of shape {tuple(image.shape)} is not one picture; "
            "give (channels, height, width)."
        )
    pixels = as_rgb(image).mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    # Encoded in memory: Pillow's own writing hides the reason when the disk is full.
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(buffer, format="PNG")
    write_bytes(path, buffer.getvalue())
