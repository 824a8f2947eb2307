"""What a safetensors file says of itself, checked as strictly as safetensors checks it.

A file is 8 bytes of the header's length, the header (JSON), and the tensors without gaps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..errors import GudaError, first_line
from . import reading
from .reading import shown

HEADER = 32 * reading.MIB
"""The largest header; those of SDXL with all that trainers write are a few MiB."""
BITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "C64": 64}
BITS |= {f"{kind}8": 8 for kind in "UI"} | {f"F8_{x}": 8 for x in ("E5M2", "E4M3", "E8M0")}
BITS |= {f"{kind}{n}": n for kind in ("U", "I", "F") for n in (16, 32, 64)} | {"BF16": 16}


class Entry(NamedTuple):
    """The type, in safetensors' words ("F16"), and shape of one tensor."""

    dtype: str
    shape: tuple[int, ...]


class Header(NamedTuple):
    entries: dict[str, Entry]
    metadata: dict[str, str]


def read(path: Path, damaged: Callable[[str], GudaError]) -> Header:
    """The header at `path`. Raises what `damaged` makes of the reason when it is not whole."""
    with reading.open_file(path, type(damaged("")), "a .safetensors file") as file:
        try:
            return _read(file)
        except OSError as error:
            raise damaged(f"it cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise damaged(first_line(error)) from error


def _read(file: BinaryIO) -> Header:
    length = file.seek(0, 2)
    file.seek(0)
    if length < 10:
        raise ValueError(f"it has {length} bytes")
    size = int.from_bytes(file.read(8), "little")
    if not 2 <= size <= reading.MIB * 100:
        raise ValueError("its first bytes are not a header's length")
    if size > HEADER:
        raise ValueError(f"its header of {size >> 20} MiB is larger than the {HEADER >> 20} read")
    if size > length - 8:
        raise ValueError(f"{size + 8 - length} bytes of its header are missing")
    return parse(file.read(size), length - 8 - size)


def parse(text: bytes, rest: int) -> Header:
    """A header and its `rest` bytes of tensors. Raises ValueError that says what is wrong."""
    if not text.startswith(b"{"):
        raise ValueError("its header is not JSON")
    data = reading.loads(text)
    metadata = data.pop("__metadata__", None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its __metadata__ is not text by name")
    entries, places = {}, []
    for name, told in data.items():
        entries[name], place = _entry(name, told)
        places.append((*place, name))
    at = 0
    for start, end, name in sorted(places):
        if start != at:
            raise ValueError(f"the tensor {shown(name)} overlaps another or leaves a gap")
        at = end
    if at != rest:
        problem = f"{at - rest} bytes are missing" if at > rest else f"{rest - at} are too many"
        raise ValueError(f"{problem} at its end")
    return Header(entries, metadata)


def _entry(name: str, told: Any) -> tuple[Entry, tuple[int, int]]:
    try:
        dtype, shape, (start, end) = told["dtype"], told["shape"], told["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise ValueError(f"the tensor {shown(name)} is not described") from None
    if not isinstance(dtype, str) or dtype not in BITS:
        raise ValueError(f"the tensor {shown(name)} is of the unknown type {shown(dtype)}")
    if not isinstance(shape, list) or len(shape) > 16:
        raise ValueError(f"the tensor {shown(name)} has the shape {shown(shape)}")
    if not all(map(_is_count, (*shape, start, end))):
        raise ValueError(f"the tensor {shown(name)} has a size that is no count")
    bits = math.prod(shape) * BITS[dtype]
    if bits != 8 * (end - start):
        raise ValueError(
            f"the tensor {shown(name)} has {shown(end - start)} bytes, its shape {shown(shape)} "
            f"needs {bits / 8:g}"
        )
    return Entry(dtype, tuple(shape)), (start, end)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**48
