"""Files of pictures to RGB (3, H, W), float32 in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..shapes import Size, box
from . import profiles
from .opening import decoded, no_truncated_pictures, opened
from .tensors import as_rgb, fit

LARGE, STRIP = 2**24, 2**21
"""Pixels; of a picture with more than LARGE, at most about STRIP are floats at any time."""


def load(path: Path, size: int | Callable[[int, int], Size] | None = None, most: int = 0) -> Tensor:
    """One picture, (3, H, W) float32 in [0, 1]; with `size`, cut to (3, size, size) by `fit`.

    size: the side of a square, or what gives (height, width) for those of the picture.
    most: pixels, a larger picture is averaged down to about that; 0: it comes as it is.
    EXIF orientation is applied, colours of other profiles become sRGB, of transparent pixels the
    colour counts (as trainers and ComfyUI's LoadImage have it), 16-bit grey is scaled, and an
    animation gives its first frame. Raises ImageError for anything that does not decode fully.
    """
    with decoded(Path(path)) as picture:
        wanted = size(picture.height, picture.width) if callable(size) else size
        shape = (wanted, wanted) if isinstance(wanted, int) else wanted
        if (shape or most) and picture.width * picture.height > (most or LARGE):
            pixels = _shrunk(picture, shape, most)
        else:
            plain = _plain(picture)
            pixels = _floats(plain, _white(plain))
        return pixels if shape is None else fit(pixels, shape)


def check(path: Path) -> None:
    """Decode a picture and forget it. Raises ImageError as `load` does."""
    with decoded(Path(path)):
        pass


def probe(path: Path) -> tuple[int, int]:
    """(width, height) as stored, from the header alone. Raises ImageError as `load` does."""
    with opened(Path(path)) as picture:
        return picture.size


def marks(path: Path) -> tuple[str, ...]:
    """What of this picture is not as it is stored: "colour profile", "transparency"."""
    with opened(Path(path)) as picture:
        said = []
        if profiles.differs(picture):
            said.append("colour profile")
        if picture.has_transparency_data and not _is_opaque(picture):
            said.append("transparency")
        return tuple(said)


def _is_opaque(picture: Image.Image) -> bool:
    with no_truncated_pictures():
        clear = picture.convert("RGBA").getchannel("A").getextrema()
    return clear == (255, 255)


def _plain(picture: Image.Image) -> Image.Image:
    """The same in RGB of sRGB, or in 16- or 32-bit grey."""
    if picture.mode.startswith("I"):
        return picture
    if (converted := profiles.to_srgb(picture)) is not None:
        picture = converted
    if picture.mode in ("La", "RGBa"):
        picture = picture.convert(picture.mode.upper())
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _floats(picture: Image.Image, white: float) -> Tensor:
    """(3, H, W) of a picture that `_plain` made."""
    part = np.asarray(picture)
    if picture.mode.startswith("I"):  # Pillow's own conversion to 8 bit clips here
        return as_rgb(torch.from_numpy((part.astype(np.float64) / white).astype(np.float32))[None])
    pixels = part.transpose(2, 0, 1).astype(np.float32, order="C")
    pixels /= np.float32(255)
    return torch.from_numpy(pixels)


def _white(picture: Image.Image) -> float:
    """Of 16-bit grey, which Pillow also gives in 32 bits."""
    low_high: Any = picture.getextrema() if picture.mode == "I" else (0, 0)
    return 65535.0 if low_high[1] <= 65535 else 2.0**31 - 1


def _shrunk(picture: Image.Image, size: Size | None, most: int) -> Tensor:
    """A large picture averaged down, a strip at a time, so that its floats never are all there.

    With `size` the centred part of its shape, to at least three times it; else to about `most`
    pixels.
    """
    width, height = picture.size
    left = top = 0
    cell = math.isqrt(width * height // (most or LARGE)) + 1
    if size is not None:
        x, y, right, bottom = box(height, width, size)
        left, top = int(x), int(y)
        width, height = round(right - x), round(bottom - y)
        cell = max(1, min(height // (3 * size[0]), width // (3 * size[1])))
    step, white = cell * max(1, STRIP // (cell * width)), _white(picture)
    small = torch.empty(3, -(-height // cell), -(-width // cell))
    for start in range(0, height, step):
        end = min(height, start + step)
        strip = _plain(picture.crop((left, top + start, left + width, top + end)))
        rows = slice(start // cell, -(-end // cell))
        if strip.mode.startswith("I"):
            grey = Image.fromarray(_floats(strip, white)[0].numpy())
            small[:, rows] = torch.from_numpy(np.array(grey.reduce(cell)))
        else:
            small[:, rows] = _floats(strip.reduce(cell), white)
    return small
