"""Pictures in and out: files and tensors to RGB (3, H, W), float32 in [0, 1]."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, ImageFile, ImageOps
from torch import Tensor

from ..errors import ImageError, first_line
from ..files import write_bytes
from ..files.reading import open_file
from . import profiles
from .formats import decoders
from .shapes import Size, box

MIN_PIXELS = 16
MAX_PIXELS = 2**27
"""Width times height; a larger header is taken for a decompression bomb, as Pillow does."""
MAX_BYTES = 2**30
"""Of a picture's file."""
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
    with _decoded(Path(path)) as picture:
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
    with _decoded(Path(path)):
        pass


def probe(path: Path) -> tuple[int, int]:
    """(width, height) as stored, from the header alone. Raises ImageError as `load` does."""
    with _opened(Path(path)) as picture:
        return picture.size


def marks(path: Path) -> tuple[str, ...]:
    """What of this picture is not as it is stored: "colour profile", "transparency"."""
    with _opened(Path(path)) as picture:
        said = []
        if profiles.differs(picture):
            said.append("colour profile")
        if picture.has_transparency_data and not _is_opaque(picture):
            said.append("transparency")
        return tuple(said)


def _is_opaque(picture: Image.Image) -> bool:
    with _no_truncated_pictures():
        clear = picture.convert("RGBA").getchannel("A").getextrema()
    return clear == (255, 255)


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
        raise ImageError(f"the picture {_too_small(w, h)}")


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


@contextmanager
def _decoded(path: Path) -> Iterator[Image.Image]:
    """The whole picture, upright, as bytes: at most four per pixel."""
    with _opened(path) as picture:
        try:
            with _no_truncated_pictures():
                picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
            if picture.mode == "F":
                raise ValueError("32-bit floats have no fixed white")
        except ImageError:
            raise
        except Exception as error:  # a decoder raises nearly anything on a damaged file
            raise ImageError(
                f"{path} is damaged or cut short ({first_line(error)}); replace it with a whole "
                "copy."
            ) from error
        yield picture


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The picture with its header read and its size checked, not decoded."""
    with open_file(path, ImageError, "a picture that can be read") as file:
        length = file.seek(0, 2)
        file.seek(0)
        if length > MAX_BYTES:
            raise ImageError(
                f"{path} has {length / 1e9:.1f} GB, more than a picture has; give another one, or "
                "save it as JPEG or PNG."
            )
        _check_canvas(path, file)
        try:
            picture = Image.open(file, formats=decoders())
        except Image.DecompressionBombError as error:
            raise ImageError(f"{path} {_too_large('far too many')}") from error
        except Image.UnidentifiedImageError as error:
            empty = path.stat().st_size == 0
            what = "is empty (0 bytes)" if empty else "is not a picture in a known format"
            raise ImageError(f"{path} {what}; give a PNG, JPEG or WebP file.") from error
        except Exception as error:
            raise ImageError(
                f"{path} has a damaged header ({error}); replace it with a whole copy."
            ) from error
        w, h = picture.size
        if w * h > MAX_PIXELS:
            raise ImageError(f"{path} {_too_large(f'{w}x{h}')}")
        if min(w, h) < MIN_PIXELS:
            raise ImageError(f"{path} {_too_small(w, h)}")
        yield picture


def _too_small(w: int, h: int) -> str:
    return f"is {w}x{h} pixels; give one of at least {MIN_PIXELS}x{MIN_PIXELS}."


def _too_large(pixels: str) -> str:
    return (
        f"is {pixels} pixels by its header, as a decompression bomb would be; "
        f"scale it down below {MAX_PIXELS / 1e6:.0f} million pixels."
    )


@contextmanager
def _no_truncated_pictures() -> Iterator[None]:
    """Other ComfyUI nodes turn this Pillow flag on, after which a cut file loads half grey."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


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


def _check_canvas(path: Path, file: BinaryIO) -> None:
    """WebP's decoder makes room for the canvas when the file is opened, so its size comes first."""
    head = file.read(30)
    file.seek(0)
    if head[:4] != b"RIFF" or head[12:16] != b"VP8X":
        return
    width, height = (int.from_bytes(head[i : i + 3], "little") + 1 for i in (24, 27))
    if width * height > MAX_PIXELS:
        raise ImageError(f"{path} {_too_large(f'{width}x{height}')}")
