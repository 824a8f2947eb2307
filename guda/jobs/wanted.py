"""Which pictures a null pool is made of; a larger pool begins with those of a smaller one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..groups.in_styles import in_styles
from ..groups.unrelated import Unrelated
from ..scoring.null import FOLDER, FREE, IN_STYLE, OTHER
from ..settings import digest

PER_STYLE = 4
"""Null pictures for each one that is in a style."""


@dataclass(frozen=True)
class Wanted:
    """One picture of the pool before it is scored."""

    id: str
    source: str
    style: str  # the phrase of the style that it is in; empty where none
    content: str
    named: str  # the content in one of the tested styles
    drawn: str = ""  # the prompt that it is drawn for
    path: Path | None = None  # or where it lies

    def prompt(self, form: str) -> str:
        """What it is asked with. A style that is not tested may be named."""
        if form == "content":
            return self.drawn if self.source == OTHER else self.content
        return self.named if form == "named" else ""


@dataclass(frozen=True)
class Asking:
    """The styles: their phrases, and how a prompt is asked in one."""

    phrases: tuple[str, ...]
    template: str

    def put(self, content: str, k: int) -> str:
        """The content in the k-th of the styles, going round."""
        return in_styles(content, self.phrases, self.template).in_styles[k % len(self.phrases)]


def in_styles_of(size: int) -> int:
    """How many pictures in the styles go with so many null ones."""
    return -(-size // PER_STYLE)


def drawn(
    tested: Asking, contents: Sequence[str], general: Sequence[str], size: int
) -> list[Wanted]:
    """To be drawn: `size` null pictures, every other one in a general style where there are any."""
    pictures = []
    for i in range(size):
        turn, other = (i // 2, i % 2 == 1) if general else (i, False)
        style = general[turn % len(general)] if other else ""
        content = contents[turn % len(contents)]
        asked = in_styles(content, (style,), tested.template).in_styles[0] if other else content
        source = OTHER if other else FREE
        name = f"null {i + 1}"
        pictures.append(Wanted(name, source, style, content, tested.put(content, i), asked))
    for i in range(in_styles_of(size)):
        content, k = contents[i % len(contents)], i % len(tested.phrases)
        named = tested.put(content, k)
        name = f"in a style {i + 1}"
        pictures.append(Wanted(name, IN_STYLE, tested.phrases[k], content, named, named))
    return pictures


def read(
    tested: Asking, folder: Sequence[Unrelated], like: Sequence[Unrelated], size: int
) -> list[Wanted]:
    """To be read: `size` pictures of the folder in an order by chance, and some in the styles.

    Their names have what is in the file, as another folder may have the same file names.
    """

    def some(given: Sequence[Unrelated], count: int) -> list[Unrelated]:
        return sorted(given, key=lambda one: digest("null", one.id))[:count]

    sources = [(FOLDER, some(folder, size)), (IN_STYLE, some(like, in_styles_of(size)))]
    return [
        Wanted(
            f"{source}/{one.id} {_seen(one)}",
            source,
            "",
            one.content,
            tested.put(one.content, i),
            "",
            one.path,
        )
        for source, ones in sources
        for i, one in enumerate(ones)
    ]


def elsewhere(names: Iterable[str], folder: Sequence[Unrelated]) -> list[str]:
    """Of the names of pictures that were read, those that the folder does not hold as they were."""
    there = {one.id: one for one in folder}

    def is_there(name: str) -> bool:
        file, _, seen = name.removeprefix(f"{FOLDER}/").rpartition(" ")
        return file in there and _seen(there[file]) == seen

    return [name for name in names if not is_there(name)]


def _seen(one: Unrelated) -> str:
    return hashlib.blake2b(one.path.read_bytes(), digest_size=4).hexdigest()
