"""Bad pictures, given to be attributed and among the groups."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from .bench import Bench, Case


def saved(kind: str, size: tuple[int, int] = (40, 32), mode: str = "RGB", **more: object) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(buffer, kind, **more)
    return buffer.getvalue()


def _wide(size: tuple[int, int]) -> bytes:
    """A PNG whose header says more pixels than there are."""
    data = bytearray(saved("PNG"))
    data[16:24] = size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


CONTENTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty (0 bytes)"),
    "text": (b"no picture", "is not a picture in a known format"),
    "zeros": (bytes(5000), "is not a picture in a known format"),
    "html": (b"<!DOCTYPE html>", "is not a picture in a known format"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is not a picture in a known format"),
    "signature": (b"\x89PNG\r\n\x1a\n", "x.png"),
    "signature jpeg": (b"\xff\xd8\xff", "x.png"),
    "small": (saved("PNG", (8, 40)), "is 8x40 pixels; give one of at least 16x16"),
    "bomb": (_wide((60_000, 60_000)), "as a decompression bomb would be"),
    "bomb 4e9": (_wide((2**31 - 1, 2**31 - 1)), "x.png"),
    "wrong size": (_wide((400, 400)), "x.png"),
    "no size": (_wide((0, 0)), "x.png"),
    "floats": (saved("TIFF", mode="F"), "is of 32-bit floats, which have no fixed white"),
}
for _kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"):
    _whole = saved(_kind)
    CONTENTS[f"cut {_kind}"] = (_whole[: len(_whole) * 2 // 3], "x.png")
    CONTENTS[f"head {_kind}"] = (_whole[:20], "x.png")


def _attribute(b: Bench, content: bytes) -> list[str]:
    return b.attribute(image=b.file("x.png", content))


def _in_group(b: Bench, content: bytes) -> list[str]:
    folder = b.copy("groups")
    (folder / "dots" / "0.png").write_bytes(content)
    (folder / "dots" / "0.png").rename(folder / "dots" / "x.png")
    lines = (folder / "dots" / "metadata.jsonl").read_text().replace('"0.png"', '"x.png"')
    (folder / "dots" / "metadata.jsonl").write_text(lines)
    return b.unlearn(groups=folder)


def _pipe(b: Bench) -> list[str]:
    os.mkfifo(b.d / "x.png")
    return b.attribute(image=b.d / "x.png")


def _link(b: Bench, target: str) -> list[str]:
    Path(b.d / "x.png").symlink_to(target)
    return b.attribute(image=b.d / "x.png")


def _sparse(b: Bench) -> list[str]:
    with (b.d / "x.png").open("wb") as file:
        file.truncate(10 << 30)
    return b.attribute(image=b.d / "x.png")


def _all() -> Iterator[Case]:
    for name, (content, words) in CONTENTS.items():
        yield name, partial(_attribute, content=content), words
        yield f"{name} in a group", partial(_in_group, content=content), words
    yield "none", lambda b: b.attribute(image="none.png"), "none.png was not found"
    yield "folder", lambda b: b.attribute(image=b.d), "is a folder; give a picture"
    yield "long name", lambda b: b.attribute(image="x" * 300), "File name too long"
    yield "below a file", lambda b: b.attribute(image=b.picture / "a"), "Not a directory"
    yield "device", lambda b: b.attribute(image="/dev/zero"), "a pipe, a socket or a device"
    yield "pipe", _pipe, "x.png is a pipe, a socket or a device"
    yield "link to nothing", partial(_link, target="nothing"), "was not found"
    yield "link to itself", partial(_link, target="x.png"), "Too many levels"
    yield "10 GB", _sparse, "has 10.7 GB, more than a picture has"
    yield "second", lambda b: b.attribute(b.d / "2.png", image=b.picture), "unrecognized"


CASES: list[Case] = list(_all())
