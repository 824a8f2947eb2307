"""One style's folders: their pictures, each with the caption that a file or its place gives it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..errors import GroupsError
from . import captions, formats, leftovers, pictures
from .layout import KNOWN_FILES, StyleFolder, unreadable
from .names import content_of_path, is_holder, nfc
from .phrases import CONTENT, STYLE, UNNAMED, Caption, spellings, split_caption
from .remarks import HIDDEN, NO_PICTURE, Reason, Remarks, unread
from .tables import TABLES, Row, read_table

BY_NAME, NOTHING = "names of folders and files", f'nothing ("{UNNAMED}")'
MOST_FILES = 200_000
"""Of one style; more are another folder than was meant."""
SIDECARS = (".txt", ".caption")
COLUMN = Reason("column that is not read", "columns that are not read")
OTHER_FORMAT = Reason("file of a picture in another format", "files of pictures in another format")


class Captioned(NamedTuple):
    key: str
    """The picture's path relative to the group's folder (posix, NFC)."""
    caption: Caption
    path: Path


class Scan(NamedTuple):
    """One folder of a style."""

    pictures: dict[str, Path]
    """By their paths relative to the folder (posix, NFC), sorted."""
    beside: dict[str, Path]
    """The other files, by the same in lower case."""
    left: list[Path]
    """Pictures that are another's mask or thumbnail."""
    holders: frozenset[str]
    """Sub-folders that do not say what their pictures show."""

    @property
    def tables(self) -> list[Path]:
        return [p for k, p in self.beside.items() if PurePosixPath(k).name in TABLES]


def scan(folder: Path, remarks: Remarks) -> Scan:
    """Raises GroupsError for a picture in a format that is not read, and when there are none."""
    files = _files(folder, remarks)
    kinds = {key: formats.kind(path) for key, path in files.items()}
    shown = {k: p for k, p in files.items() if kinds[k] == "picture"}
    extra = leftovers.extra_pictures(shown)
    for key, reason in extra.items():
        remarks.leave(reason, key)
    left = [shown.pop(key) for key in extra]
    stems = {PurePosixPath(key).with_suffix("") for key in shown}
    for key in (k for k in files if kinds[k] == "unread"):
        if PurePosixPath(key).with_suffix("") not in stems:
            raise GroupsError(
                f"{files[key]} is in a format that is not read; convert it to PNG or JPEG, or move "
                "it out of the group."
            )
        remarks.leave(OTHER_FORMAT, key)
    if not shown:
        what = "; ".join(remarks.lines_left_out())
        raise GroupsError(
            f"{folder} holds no pictures{f', but {what}' if what else ''}; add some, or let its "
            'name start with "_" to leave it out.'
        )
    beside = {key.lower(): path for key, path in files.items() if kinds[key] == "other"}
    return Scan(shown, beside, left, _holders(shown, remarks))


def _holders(found: dict[str, Path], remarks: Remarks) -> frozenset[str]:
    """Folders such as "images" and "train", unless what lies beside them names contents."""
    names: dict[PurePosixPath, set[str]] = {}
    for key in found:
        parts = PurePosixPath(key).parts
        for depth, name in enumerate(parts[:-1]):
            names.setdefault(PurePosixPath(*parts[:depth]), set()).add(name)
    holders = set()
    for beside in names.values():
        technical = {name for name in beside if is_holder(name)}
        if technical == beside:
            holders |= technical
        for name in sorted(technical - holders):
            remarks.guess(f'"{name}" is read as what its pictures show, as it lies beside others')
    return frozenset(holders)


def read_group(
    scans: list[tuple[str, Scan]],
    tables: Tables,
    names: tuple[str, ...],
    template: str,
    remarks: Remarks,
) -> list[Captioned]:
    """Every picture of a style, in the order of the keys; the header of each is checked.

    scans: what goes before the keys of each folder's pictures, and the folder. names: the style's
    phrase, then other names of it.
    """
    result, unnamed, spelled = [], 0, set[str]()
    for before, (found, beside, _, holders) in scans:
        used = set()
        for key, path in found.items():
            pictures.probe(path)
            row, source = tables.of(path)
            text = row.text if row else None
            if text is None and (file := sidecar(key, beside)) is not None:
                text, source = captions.read_sidecar(file), file.suffix.lower()
                used.add(file)
            content = content_of_path(PurePosixPath(key), names, holders)
            if row and row.content:
                content = row.content
            elif text is None:
                source = NOTHING if content == UNNAMED else BY_NAME
            caption = Caption(content, template.replace(CONTENT, content))
            if text is not None:
                caption = split_caption(text, names[0], template)
                unnamed += caption.template == template.replace(CONTENT, text)
                spelled |= spellings(text, names[0])
            if row and row.content:
                caption = caption._replace(content=row.content)
            remarks.sources[before + key] = source
            result.append(Captioned(before + key, caption, path))
        _say_unread(beside, used, remarks)
    if spelled:
        named = ", ".join(f'"{one}"' for one in sorted(spelled)[:3])
        remarks.guess(f'captions that say {named} mean the style; prompts say "{names[0]}"')
    if unnamed:
        remarks.guess(
            f"{unnamed} caption{'s do' if unnamed > 1 else ' does'} not name the style; "
            f'"{template.replace(CONTENT, "...").replace(STYLE, names[0])}" is made of them'
        )
    return result


def sidecar(key: str, beside: dict[str, Path]) -> Path | None:
    """`fox.txt` or `fox.caption`, or `fox.png.txt` as downloaders write."""
    stem = PurePosixPath(key).with_suffix("").as_posix().lower()
    names = [f"{name}{ending}" for name in (stem, key.lower()) for ending in SIDECARS]
    return next((beside[name] for name in names if name in beside), None)


def _say_unread(beside: dict[str, Path], used: set[Path], remarks: Remarks) -> None:
    for key, path in beside.items():
        name, ending = PurePosixPath(key).name, PurePosixPath(key).suffix
        if path in used or name in KNOWN_FILES or leftovers.is_junk(name):
            continue
        shown = Path(*path.parts[-len(PurePosixPath(key).parts) :]).as_posix()
        beside_pictures = unread(ending, " beside pictures")
        remarks.leave(NO_PICTURE if ending in SIDECARS else beside_pictures, shown)


class Tables:
    """Rows by picture; those of outer folders go before those of inner ones."""

    def __init__(self, files: Iterable[Path], known: Iterable[Path], remarks: Remarks):
        """known: every picture, also those that are left out: other rows must name some file."""
        self._rows: dict[str, tuple[Row, str]] = {}
        self._known = {_spelled(path) for path in known}
        for file in sorted(set(files), key=lambda p: (len(p.parts), p)):
            self._read(file, remarks)

    def _read(self, file: Path, remarks: Remarks) -> None:
        seen: set[str] = set()
        rows, unused = read_table(file)
        for name in unused:
            remarks.leave(COLUMN, f"{name} in {file.parent.name}/{file.name}")
        for row in rows:
            path = _spelled(file.parent / row.key)
            if path not in self._known and not _is_picture(file.parent / row.key):
                raise GroupsError(
                    f'{row.where}: "{row.key}" is not a picture that exists; correct the name or '
                    "delete the line."
                )
            if path in seen:
                raise GroupsError(f'{row.where} names "{row.key}" again; keep one of the lines.')
            seen.add(path)
            if row.text or row.content:
                self._rows.setdefault(path, (row, file.name))

    def of(self, path: Path) -> tuple[Row | None, str]:
        return self._rows.get(_spelled(path), (None, ""))


def tables_above(root: Path, styles: Iterable[StyleFolder]) -> list[Path]:
    """The tables in `root` and in the folders between it and those of the styles."""
    above = {f for style in styles for _, part in style.parts for f in part.parents}
    inside = [f for f in above if f == root or f.is_relative_to(root)]
    return [f / name for f in inside for name in TABLES if (f / name).is_file()]


def _is_picture(path: Path) -> bool:
    return path.is_file() and formats.kind(path) != "other"


def _spelled(path: Path) -> str:
    return nfc(path.as_posix())


def _identity(folder: str | Path) -> tuple[int, int]:
    told = os.stat(folder)
    return told.st_dev, told.st_ino


def _files(folder: Path, remarks: Remarks) -> dict[str, Path]:
    """Every file below `folder` that is not hidden, by its relative path (posix, NFC), sorted."""
    files: dict[str, Path] = {}
    # Folders that link to each other are read once each, by their own place if they have one here.
    own = {_identity(base) for base, *_ in os.walk(folder, onerror=unreadable)}
    seen = set(own)
    for base, dirs, names in os.walk(folder, onerror=unreadable, followlinks=True):
        for path in [Path(base, d) for d in sorted(dirs)]:
            place = _identity(path)
            if place in seen and (path.is_symlink() or place not in own):
                dirs.remove(path.name)
            seen.add(place)
        if len(files) + len(names) > MOST_FILES:
            raise GroupsError(
                f"{folder} holds more than {MOST_FILES} files; give a folder of pictures alone."
            )
        for path in [Path(base, d) for d in dirs]:
            if (reason := leftovers.folder_reason(path)) is not None:
                remarks.leave(reason, nfc(path.relative_to(folder).as_posix()))
                dirs.remove(path.name)
        for path in (Path(base, n) for n in names):
            key = nfc(path.relative_to(folder).as_posix())
            if path.name[0] == ".":
                remarks.leave(HIDDEN, key)
                continue
            if key in files:
                raise GroupsError(f"{path} has a twin whose name looks the same; rename one.")
            files[key] = path
    return dict(sorted(files.items()))
