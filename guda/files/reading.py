"""The one place that reads text and JSON: from regular files, up to a limit, and strictly.

Everything here may come from a stranger. What is refused raises the error that the caller names,
with the file, what is wrong with it and the remedy.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

from ..errors import GroupsError, GudaError, first_line

MIB = 1 << 20
CAPTION = MIB // 4
"""The largest caption beside a picture, in bytes."""
TEXT = 4 * MIB
"""The largest list or description."""
TABLE = 64 * MIB
"""The largest file that grows with the pictures or with the steps: metadata, manifests."""
DEPTH = 64
"""Lists and objects within each other."""

Kind = type[GudaError]


def open_file(path: Path, kind: Kind = GroupsError, give: str = "a file") -> BinaryIO:
    """`path` to read from. Raises `kind` for what is no regular file; never waits for a pipe."""
    try:
        # A pipe that nobody writes to would block the opening.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    except FileNotFoundError as error:
        raise kind(f"{path} was not found; check the name and the folder.") from error
    except (OSError, ValueError) as error:
        if os.path.isdir(path):
            raise kind(f"{path} is a folder; give {give}.") from error
        raise kind(f"{path} cannot be opened ({_reason(error)}); give {give}.") from error
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    what = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
    raise kind(f"{path} is {what}; give {give}.")


def read_bytes(path: Path, limit: int = TEXT, kind: Kind = GroupsError) -> bytes:
    with open_file(path, kind) as file:
        try:
            data = file.read(limit + 1)
        except OSError as error:
            raise kind(f"{path} cannot be read ({error.strerror}); check the file.") from error
    if len(data) > limit:
        raise kind(
            f"{path} is larger than {_size(limit)}, the most that is read of such a file; shorten "
            "it, or give the right file."
        )
    return data


def read_text(path: Path, limit: int = TEXT, kind: Kind = GroupsError) -> str:
    """UTF-8, with or without a byte order mark."""
    try:
        text = read_bytes(path, limit, kind).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise kind(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    if "\0" in text:
        raise kind(f"{path} holds a zero byte, so it is no text; save it as UTF-8 text.")
    return text


def read_json(path: Path, limit: int = TEXT, kind: Kind = GroupsError) -> Any:
    return parse_json(read_text(path, limit, kind), str(path), kind)


def parse_json(text: str, where: str, kind: Kind = GroupsError) -> Any:
    """Strict JSON: no key twice, no NaN, no infinity, no half of a character, no deep nesting."""
    try:
        return loads(text)
    except ValueError as error:
        raise kind(f"{where} is not valid JSON ({first_line(error)}); correct it.") from error


def loads(text: str | bytes) -> Any:
    """As `parse_json`, for callers with their own words. Raises ValueError that says why."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        data = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_number,
            parse_int=_integer,
        )
    except RecursionError:
        raise _too_deep() from None
    _check_depth(data)
    if _HALF.search(text):
        _check_characters(data)
    return data


def shown(value: object, most: int = 80) -> str:
    """`value` as an error shows it: its middle left out when it is long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 4 :]}"


T = TypeVar("T")


def field(data: Any, name: str, kind: type[T]) -> T:
    """The entry `name` of a JSON object, of this type. Raises ValueError that says why not."""
    if not isinstance(data, dict):
        raise ValueError(f"{shown(data, 40)} is no object")
    if name not in data:
        raise ValueError(f'"{name}" is missing')
    value = data[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f'"{name}" is {shown(value, 40)}, no {_TYPES.get(kind, kind.__name__)}')
    return value


def number(value: Any, what: str) -> float:
    """A JSON number. Raises ValueError for anything else, also for text that looks like one."""
    if type(value) not in (int, float):
        raise ValueError(f'"{what}" is {shown(value, 40)}, no number')
    return float(value)


_TYPES = {str: "text", list: "list", dict: "object"}
_BINARY = getattr(os, "O_BINARY", 0)
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""How a half of a character beyond U+FFFF is written; alone, it can be neither shown nor saved."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))
        raise ValueError(f"the key {shown(twice)} stands twice in one object")
    return made


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{shown(text)[1:-1]} is too large a number")
    return value


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"{shown(text)[1:-1]} is too large a number")
    return int(text)


def _too_deep() -> ValueError:
    return ValueError(f"lists and objects lie more than {DEPTH} deep within each other")


def _check_depth(data: Any) -> None:
    level = [data]
    for _ in range(DEPTH + 1):
        level = [x for box in level for x in _values(box) if isinstance(x, (list, dict))]
        if not level:
            return
    raise _too_deep()


def _values(box: Any) -> Any:
    return box.values() if isinstance(box, dict) else box if isinstance(box, list) else ()


def _check_characters(data: Any) -> None:
    left = [data]
    while left:
        box = left.pop()
        left += _values(box)
        for text in (box,) if isinstance(box, str) else box if isinstance(box, dict) else ():
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                raise ValueError(f"{shown(text)} holds half of a character") from None


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _size(count: int) -> str:
    return f"{count // MIB} MiB" if count >= MIB else f"{count // 1024} KiB"
