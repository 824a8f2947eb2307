"""Text about style groups: captions, prompt templates, style phrases and content lists.

A caption is cut into what is shown (content) and a template in which the literal marker "{style}"
stands where the style is named. Markers are replaced, never formatted: captions may hold braces.
"""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from . import reading
from .errors import GroupsError
from .reading import shown

STYLE, CONTENT = "{style}", "{content}"
TEMPLATE = "{content}, in {style} style"
UNNAMED = "a picture"
"""The content of a picture of which nothing is known, such as `0001.png`."""
MAX_DESCRIPTORS = 3


class Caption(NamedTuple):
    content: str
    template: str


def check_template(template: object, where: str) -> str:
    if not isinstance(template, str):
        raise GroupsError(f'{where} is {shown(template)}; give text such as "{TEMPLATE}".')
    for marker in (STYLE, CONTENT):
        if marker not in template:
            raise GroupsError(f'{where} is "{template}" without {marker}; write "{TEMPLATE}".')
    return template


def split_caption(caption: str, style: str, template: str = TEMPLATE) -> Caption:
    """Find `style` (whole words, any case) in `caption`; without it, put the caption in `template`.

    "A cat, in ink style" with the style "ink" gives ("A cat", "A cat, in {style} style").
    """
    marked = _phrase(style).sub(lambda _: STYLE, caption)
    if STYLE not in marked:
        return Caption(caption, template.replace(CONTENT, caption))
    head, _, tail = template.partition(CONTENT)
    middle = marked[len(head) : len(marked) - len(tail)]
    wrapped = marked.lower().startswith(head.lower()) and marked.lower().endswith(tail.lower())
    content = middle if wrapped and STYLE not in middle else _without_style(marked)
    return Caption(content.strip() or UNNAMED, marked)


def content_of_path(relative: PurePosixPath) -> str:
    """`Content/id.jpg` is named by its folder, `red_fox-12.jpg` by its stem ("red fox")."""
    if len(relative.parts) > 1:
        return spaced(relative.parent.name) or UNNAMED
    return re.sub(r"[\s\d()]+$", "", spaced(relative.stem)) or UNNAMED


def nfc(text: str) -> str:
    """One spelling of accented letters: file names come composed or not, by the platform."""
    return unicodedata.normalize("NFC", text)


def spaced(name: str) -> str:
    """A file name as words: underscores, dashes and runs of blanks become one space."""
    return " ".join(re.sub(r"[_-]", " ", name).split())


def read_sidecar(path: Path) -> str | None:
    """The caption beside a picture, on one line; None without such a file."""
    if not os.path.lexists(path):
        return None
    text = " ".join(reading.read_text(path, reading.CAPTION).split())
    if not text:
        raise GroupsError(f"{path} is empty; write a caption into it or delete the file.")
    return text


class Row(NamedTuple):
    """One line of a metadata.jsonl; `key` is the picture's path relative to the group's folder."""

    key: str
    text: str | None
    content: str | None
    where: str


def read_metadata(path: Path, folder: PurePosixPath) -> Iterator[Row]:
    """Rows of Hugging Face's imagefolder metadata that lies in `folder` of the group."""
    for number, line in enumerate(reading.read_text(path, reading.TABLE).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        row = reading.parse_json(line, where)
        if not isinstance(row, dict):
            raise GroupsError(f'{where} is not an object; write {{"file_name": ..., "text": ...}}.')
        name = _entry(row, "file_name", where)
        if name is None:
            raise GroupsError(f'{where} has no "file_name"; name the picture that it describes.')
        relative = posixpath.normpath(name.replace("\\", "/"))
        if relative.startswith("/") or relative[:3] in ("..", "../") or relative[1:3] == ":/":
            raise GroupsError(
                f'{where}: "{name}" leads out of the folder; give a path inside {path.parent}.'
            )
        yield Row(
            nfc((folder / relative).as_posix()),
            _entry(row, "text", where),
            _entry(row, "content", where),
            where,
        )


class Phrases(NamedTuple):
    """What a groups.json says: the template and, by group, the style phrase and descriptors."""

    template: str | None
    styles: dict[str, str]
    descriptors: dict[str, tuple[str, ...]]


def read_phrases(path: Path, names: list[str]) -> Phrases:
    """`{"template": "...", "groups": {"<Group>": {"style": "...", "descriptors": ["..."]}}}`"""
    found = Phrases(None, {}, {})
    if not os.path.lexists(path):
        return found
    data = reading.read_json(path)
    _check_keys(data, {"template", "groups"}, str(path))
    groups = data.get("groups", {})
    if isinstance(groups, dict):
        groups = {nfc(name): entry for name, entry in groups.items()}
    _check_keys(groups, set(names), f'{path}: "groups"')
    for name, entry in groups.items():
        where = f'{path}: group "{name}"'
        _check_keys(entry, {"style", "descriptors"}, where)
        if (style := _entry(entry, "style", where)) is not None:
            found.styles[name] = style
        if "descriptors" in entry:
            found.descriptors[name] = check_descriptors(entry["descriptors"], where)
    if "template" in data:
        return found._replace(template=check_template(data["template"], f'{path}: "template"'))
    return found


def check_descriptors(phrases: object, where: str) -> tuple[str, ...]:
    if (
        not isinstance(phrases, (list, tuple))
        or len(phrases) > MAX_DESCRIPTORS
        or not all(isinstance(p, str) and p.strip() for p in phrases)
    ):
        raise GroupsError(
            f"{where} has the descriptors {shown(phrases)}; give a list of up to {MAX_DESCRIPTORS} "
            "phrases, none of them blank."
        )
    return tuple(p.strip() for p in phrases)


def parse_styles(text: str) -> dict[str, tuple[str, ...]]:
    """One style per line, "Name: phrase | phrase | phrase" or just "phrase"; # starts a comment."""
    styles: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    for number, line in _lines(text):
        name, colon, rest = line.partition(":")
        phrases = tuple(p.strip() for p in (rest if colon else line).split("|"))
        name = name.strip() if colon else phrases[0]
        if not name or not all(phrases):
            raise GroupsError(
                f'styles line {number}, "{line}", has a blank; write "Name: phrase | phrase".'
            )
        if name.casefold() in seen:
            raise GroupsError(
                f'styles line {number} names "{name}" again; rename one or put its phrases on one '
                'line with "|" between them.'
            )
        seen.add(name.casefold())
        styles[name] = phrases
    return styles


def parse_contents(text: str) -> list[str]:
    """One content per line; a single line is split at its commas; # starts a comment line."""
    lines = [line for _, line in _lines(text)]
    if len(lines) == 1:
        lines = [part.strip() for part in lines[0].split(",")]
    return [line for line in lines if line]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            yield number, line


def _phrase(style: str) -> re.Pattern[str]:
    """Whole words, but not for scripts that write without spaces."""
    words = r"\s+".join(map(re.escape, style.split()))
    before = r"(?<!\w)" if style[:1].isascii() else ""
    after = r"(?!\w)" if style[-1:].isascii() else ""
    return re.compile(before + words + after, re.IGNORECASE)


# "in {style} style", "by {style}", "in the style of {style}" at the end of a clause
_CLAUSE = re.compile(
    r"(?:\b(?:in|by|of|with)\s+(?:(?:the|an?)\s+)?(?:style\s+of\s+)?)?\{style\}"
    r"(?:\s+style\b)?(?=\s*(?:[,.;]|$))",
    re.IGNORECASE,
)


def _without_style(marked: str) -> str:
    """The caption's content: the style's name and the words that only lead to it taken out."""
    text = _CLAUSE.sub("", marked)
    text = re.sub(r"\{style\}(?:\s+style\b)?", "", text, flags=re.IGNORECASE)
    text = " ".join(text.split())
    text = re.sub(r"\s+([,.;])", r"\1", text)
    text = re.sub(r"[,;](?:\s*[,;.])+", lambda m: m[0][-1], text)
    text = re.sub(r"^(?:an?|the)?\s*\bof\s+", "", text.strip(" ,;."), flags=re.IGNORECASE)
    return text.strip(" ,;.")


def _entry(row: dict[str, Any], key: str, where: str) -> str | None:
    value = row.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise GroupsError(f'{where}: "{key}" is {shown(value)}; give text that is not blank.')
    return " ".join(value.split()) if key != "file_name" else value


def _check_keys(data: object, known: set[str], where: str) -> None:
    if not isinstance(data, dict):
        raise GroupsError(f"{where} is {shown(data, 60)}; give an object in braces.")
    if unknown := sorted(set(data) - known):
        raise GroupsError(
            f'{where} has "{unknown[0]}", which is not known; there are: '
            f"{', '.join(sorted(known))}."
        )
