"""Captions in tables: Hugging Face's metadata.jsonl and metadata.csv."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import GroupsError
from ..files import reading
from .captions import text_of
from .names import nfc

TABLES = ("metadata.jsonl", "metadata.csv")
NAMES = ("file_name", "filename", "file", "image", "image_path", "path")
TEXTS = ("text", "caption", "prompt")
"""Keys of the picture's name and of its caption; of several, the first is read."""


class Row(NamedTuple):
    """One line of a table; `key` is the picture's path relative to the table's folder."""

    key: str
    text: str | None
    content: str | None
    where: str


def read_table(path: Path) -> tuple[list[Row], list[str]]:
    """The rows, and the columns that were not read. Raises GroupsError naming the line."""
    rows, unread = [], dict[str, None]()
    records = _csv_records(path) if path.suffix == ".csv" else _json_records(path)
    for where, record in records:
        named = _first(record, NAMES)
        name = text_of(record, named, where) if named else None
        if named is None or name is None:
            raise GroupsError(f'{where} has no "file_name"; name the picture that it describes.')
        said = _first(record, TEXTS)
        text = text_of(record, said, where) if said else None
        rows.append(Row(_inside(name, path, where), text, text_of(record, "content", where), where))
        unread |= dict.fromkeys(k for k in record if k not in (named, said, "content"))
    return rows, list(unread)


def _first(record: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    return next((key for key in keys if record.get(key) is not None), None)


def _inside(name: str, path: Path, where: str) -> str:
    relative = posixpath.normpath(name.strip().replace("\\", "/"))
    if relative.startswith("/") or relative[:3] in ("..", "../") or relative[1:3] == ":/":
        raise GroupsError(
            f'{where}: "{name}" leads out of the folder; give a path inside {path.parent}.'
        )
    return nfc(relative)


def _json_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(reading.read_text(path, reading.TABLE).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        row = reading.parse_json(line, where)
        if not isinstance(row, dict):
            raise GroupsError(f'{where} is not an object; write {{"file_name": ..., "text": ...}}.')
        yield where, row


def _csv_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Commas, semicolons or tabs, whichever the first line has most of; blank cells are None."""
    text = reading.read_text(path, reading.TABLE)
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    try:
        header = [name.strip() for name in next(reader, [])]
        header = [name.lower() if name.lower() in (*NAMES, *TEXTS) else name for name in header]
        if _first(dict.fromkeys(header, ""), NAMES) is None:
            raise GroupsError(
                f"{path} has the columns {', '.join(header) or '(none)'}; its first line names "
                'them, one is "file_name", another "text", "caption" or "prompt".'
            )
        for cells in reader:
            where = f"{path} line {reader.line_num}"
            if len(cells) > len(header):
                raise GroupsError(
                    f"{where} has {len(cells)} cells, but there are {len(header)} columns; put "
                    'captions that hold a comma into "quotes".'
                )
            if any(cell.strip() for cell in cells):
                full = [cell if cell.strip() else None for cell in cells]
                yield where, dict(zip(header, full, strict=False))
    except csv.Error as error:
        raise GroupsError(f"{path} line {reader.line_num} is not CSV ({error}); mend it.") from None
