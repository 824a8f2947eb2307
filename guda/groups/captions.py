"""Text about style groups: caption files, prompt templates, style phrases and content lists."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import GroupsError
from ..files import reading
from ..files.reading import shown
from .names import nfc, spaced
from .phrases import CONTENT, STYLE, TEMPLATE

MAX_DESCRIPTORS = 3


def check_template(template: object, where: str) -> str:
    if not isinstance(template, str):
        raise GroupsError(f'{where} is {shown(template)}; give text such as "{TEMPLATE}".')
    for marker in (STYLE, CONTENT):
        if marker not in template:
            raise GroupsError(f'{where} is "{template}" without {marker}; write "{TEMPLATE}".')
    return template


def read_sidecar(path: Path) -> str | None:
    """The caption beside a picture, on one line; None without such a file."""
    if not os.path.lexists(path):
        return None
    text = " ".join(reading.read_text(path, reading.CAPTION).split())
    if not text:
        raise GroupsError(f"{path} is empty; write a caption into it or delete the file.")
    return text


class Phrases(NamedTuple):
    """What a groups.json says: the template and, by group, the style phrase and descriptors."""

    template: str | None
    styles: dict[str, str]
    descriptors: dict[str, tuple[str, ...]]


def read_phrases(path: Path, names: list[str]) -> Phrases:
    """`{"template": "...", "groups": {"<Group>": {"style": "...", "descriptors": ["..."]}}}`"""
    phrases = Phrases(None, {}, {})
    if not os.path.lexists(path):
        return phrases
    data = reading.read_json(path)
    _check_keys(data, {"template", "groups"}, str(path))
    groups = data.get("groups", {})
    if isinstance(groups, dict):
        groups = {nfc(name): entry for name, entry in groups.items()}
    _check_keys(groups, set(names), f'{path}: "groups"')
    for name, entry in groups.items():
        where = f'{path}: group "{name}"'
        _check_keys(entry, {"style", "descriptors"}, where)
        if (style := text_of(entry, "style", where)) is not None:
            phrases.styles[name] = style
        if "descriptors" in entry:
            phrases.descriptors[name] = check_descriptors(entry["descriptors"], where)
    if "template" in data:
        return phrases._replace(template=check_template(data["template"], f'{path}: "template"'))
    return phrases


def phrase_names(path: Path) -> set[str]:
    """The names of groups in a groups.json, as far as it can be read."""
    data = reading.read_json(path) if os.path.lexists(path) else None
    groups = data.get("groups") if isinstance(data, dict) else None
    return {nfc(name) for name in groups} if isinstance(groups, dict) else set()


def phrase_of(name: str, repeats: bool) -> str:
    """A style's phrase by its folder's name; kohya's often end with the class: "10_sks style"."""
    phrase = spaced(name.lower())
    return phrase.removesuffix(" style") if repeats else phrase


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


def text_of(row: dict[str, Any], key: str, where: str) -> str | None:
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
