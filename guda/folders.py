"""One group's folder: its pictures, each with the caption that a file or its place gives it."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import NamedTuple, NoReturn

from . import captions, pictures
from .captions import CONTENT, Caption, Row
from .errors import GroupsError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
UNREAD_SUFFIXES = {".avif", ".heic", ".heif", ".jp2", ".jxl", ".psd", ".svg", ".tga"}


class Captioned(NamedTuple):
    key: str
    """The picture's path relative to the group's folder (posix, NFC)."""
    caption: Caption
    path: Path


def subfolders(root: Path) -> list[Path]:
    """The group folders of `root`: those whose names do not start with "." or "_", sorted."""
    if not root.is_dir():
        what = "is a file" if root.exists() else "was not found"
        raise GroupsError(f"{root} {what}; give a folder that holds one folder per style.")
    try:
        found = [p for p in root.iterdir() if p.is_dir() and p.name[0] not in "._"]
    except OSError as error:
        _unreadable(error)
    if not found:
        raise GroupsError(f"{root} holds no folders; make one folder of pictures per style.")
    return sorted(found, key=lambda p: p.name)


def read_group(folder: Path, style: str, template: str) -> list[Captioned]:
    """Every picture below `folder`, in the order of their keys; the header of each is checked."""
    files = _files(folder)
    if unread := [p for p in files.values() if p.suffix.lower() in UNREAD_SUFFIXES]:
        raise GroupsError(
            f"{unread[0]} is in a format that is not read; convert it to PNG or JPEG, or move it "
            "out of the group."
        )
    found = {k: p for k, p in files.items() if p.suffix.lower() in SUFFIXES}
    if not found:
        raise GroupsError(
            f'{folder} holds no pictures; add some, or let its name start with "_" to leave it out.'
        )
    rows = _metadata(files, found)
    result = []
    for key, path in found.items():
        pictures.probe(path)
        row = rows.get(key, Row(key, None, None, ""))
        text = row.text or captions.read_sidecar(path.with_suffix(".txt"))
        content = row.content or captions.content_of_path(PurePosixPath(key))
        caption = Caption(content, template.replace(CONTENT, content))
        if text is not None:
            caption = captions.split_caption(text, style, template)
        if row.content:
            caption = caption._replace(content=row.content)
        result.append(Captioned(key, caption, path))
    return result


def _metadata(files: dict[str, Path], found: dict[str, Path]) -> dict[str, Row]:
    """Captions by picture. The group's own metadata.jsonl goes before those of its sub-folders."""
    tables = [k for k in files if PurePosixPath(k).name == "metadata.jsonl"]
    merged: dict[str, Row] = {}
    for table in sorted(tables, key=lambda k: (k.count("/"), k)):
        rows: dict[str, Row] = {}
        for row in captions.read_metadata(files[table], PurePosixPath(table).parent):
            if row.key not in found:
                raise GroupsError(
                    f'{row.where}: "{row.key}" is not a picture that exists; correct the name or '
                    "delete the line."
                )
            if row.key in rows:
                raise GroupsError(f'{row.where} names "{row.key}" again; keep one of the lines.')
            rows[row.key] = row
        merged = rows | merged
    return merged


def _files(folder: Path) -> dict[str, Path]:
    """Every file below `folder` that is not hidden, by its relative path (posix, NFC), sorted."""
    files: dict[str, Path] = {}
    for base, dirs, names in os.walk(folder, onerror=_unreadable, followlinks=True):
        real = Path(base).resolve()
        inside = (real, *real.parents)  # a link back up would be walked for ever
        dirs[:] = [d for d in dirs if d[0] != "." and Path(base, d).resolve() not in inside]
        for path in (Path(base, n) for n in names if n[0] != "."):
            key = captions.nfc(path.relative_to(folder).as_posix())
            if key in files:
                raise GroupsError(f"{path} has a twin whose name looks the same; rename one.")
            files[key] = path
    return dict(sorted(files.items()))


def _unreadable(error: OSError) -> NoReturn:
    raise GroupsError(
        f"{error.filename} cannot be read ({error.strerror}); check its rights."
    ) from error
