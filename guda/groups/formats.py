"""Which files are pictures: by what is in them, and by their endings where that says too little."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path

from PIL import Image

from .names import words

SUFFIXES = words(
    """
    .png .apng .jpg .jpeg .jpe .jif .jfif .pjp .pjpeg .webp .bmp .dib .gif .tif .tiff .ppm .pgm
    .pbm .pnm
    """
)
UNREAD_SUFFIXES = words(
    """
    .avif .heic .heif .hif .jp2 .j2k .jxl .psd .psb .kra .xcf .svg .tga .exr .hdr .ico .dds .qoi
    .cr2 .cr3 .nef .arw .dng .orf .rw2 .raf .srw .pef
    """
)
"""Pictures for eyes, but in formats that are not read, but for AVIF and HEIC with a decoder."""


FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""The decoders tried. Not all of Pillow's: its EPS reader would start Ghostscript."""


def decoders() -> tuple[str, ...]:
    """FORMATS, and those that only some installations have."""
    return FORMATS + _optional()


@functools.cache
def _optional() -> tuple[str, ...]:
    """AVIF comes with newer Pillows, HEIF with the package pillow-heif."""
    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener  # type: ignore[import-not-found]

        register_heif_opener()
    Image.init()
    return tuple(name for name in ("AVIF", "HEIF") if name in Image.OPEN)


def kind(path: Path) -> str:
    """ "picture", "unread" (a picture in a format that is not read) or "other"."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return "picture"
    found = _format(path)
    if found in decoders() and not (found == "TIFF" and suffix in UNREAD_SUFFIXES):
        return "picture"
    return "unread" if found or suffix in UNREAD_SUFFIXES else "other"


def _format(path: Path) -> str:
    """What the first bytes say; "" when they are not a picture's."""
    try:
        if not path.is_file():  # a pipe would wait for ever
            return ""
        with path.open("rb") as file:
            head = file.read(32)
    except OSError:
        return ""
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "")
    if head[:4] == b"RIFF":
        return "WEBP" if head[8:12] == b"WEBP" else ""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")


_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"8BPS": "PSD",
    b"\xff\x0a": "JXL",
    b"\0\0\0\x0cJXL ": "JXL",
    b"\0\0\0\x0cjP  ": "JPEG2000",
}
_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "HEIF"),
}
