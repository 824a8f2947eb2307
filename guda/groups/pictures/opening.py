"""Files of pictures opened safely: format, size and damage are known before anything decodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFile, ImageOps

from ...errors import ImageError, first_line
from ...files.reading import open_file
from ..formats import decoders

MIN_PIXELS = 16
MAX_PIXELS = 2**27
"""Width times height; a larger header is taken for a decompression bomb, as Pillow does."""
MAX_BYTES = 2**30
"""Of a picture's file."""


@contextmanager
def decoded(path: Path) -> Iterator[Image.Image]:
    """The whole picture, upright, as bytes: at most four per pixel."""
    with opened(path) as picture:
        try:
            with no_truncated_pictures():
                picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
            if picture.mode == "F":
                raise ImageError(
                    f"{path} is of 32-bit floats, which have no fixed white; save it as 8- or "
                    "16-bit PNG."
                )
        except ImageError:
            raise
        except Exception as error:  # a decoder raises nearly anything on a damaged file
            raise ImageError(
                f"{path} is damaged or cut short ({first_line(error)}); replace it with a whole "
                "copy."
            ) from error
        yield picture


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
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
            raise ImageError(f"{path} {too_small(w, h)}")
        yield picture


def too_small(w: int, h: int) -> str:
    return f"is {w}x{h} pixels; give one of at least {MIN_PIXELS}x{MIN_PIXELS}."


def _too_large(pixels: str) -> str:
    return (
        f"is {pixels} pixels by its header, as a decompression bomb would be; "
        f"scale it down below {MAX_PIXELS / 1e6:.0f} million pixels."
    )


@contextmanager
def no_truncated_pictures() -> Iterator[None]:
    """Other ComfyUI nodes turn this Pillow flag on, after which a cut file loads half grey."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _check_canvas(path: Path, file: BinaryIO) -> None:
    """WebP's decoder makes room for the canvas when the file is opened, so its size comes first."""
    head = file.read(30)
    file.seek(0)
    if head[:4] != b"RIFF" or head[12:16] != b"VP8X":
        return
    width, height = (int.from_bytes(head[i : i + 3], "little") + 1 for i in (24, 27))
    if width * height > MAX_PIXELS:
        raise ImageError(f"{path} {_too_large(f'{width}x{height}')}")
