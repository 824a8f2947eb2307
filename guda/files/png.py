"""PNG files: whether one is what was written, by its own checksums, and texts within it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, PngImagePlugin

from . import write_bytes

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def is_whole(path: Path) -> bool:
    """A PNG from the signature to IEND, whose chunks all fit their CRC-32, and nothing more."""
    if not path.is_file():
        return False
    try:
        data = path.read_bytes()
    except OSError:
        return False
    if not data.startswith(SIGNATURE):
        return False
    at, kind = len(SIGNATURE), b""
    while at + 12 <= len(data) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if data[end : end + 4] != struct.pack(">I", zlib.crc32(data[at + 4 : end])):
            return False
        at = end + 4
    return kind == b"IEND" and at == len(data)


def text_of(path: Path) -> dict[str, str]:
    """The texts of a whole PNG by their keys; {} for anything else."""
    if not is_whole(path):
        return {}
    with Image.open(path) as picture:
        picture.load()
        return dict(getattr(picture, "text", {}))


def save_with_text(image: Image.Image, path: Path, text: Mapping[str, str]) -> None:
    """Whole or not at all, into a folder that is there. Raises SaveError."""
    info, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    for key, value in text.items():
        info.add_text(key, value)
    image.save(buffer, format="PNG", pnginfo=info)
    write_bytes(path, buffer.getvalue(), make_folder=False)
