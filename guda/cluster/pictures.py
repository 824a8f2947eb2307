"""Many pictures, one after the other: a folder, a list, or a tar as WebDataset has it.

None is opened here: what is kept of one is its name, its prompt and where its bytes are.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import ImageError, first_line
from ..files.reading import open_file, read_text
from ..groups import pictures
from ..groups.formats import SUFFIXES

LONGEST = 20_000
"""Characters of a prompt."""


@dataclass(frozen=True)
class Where:
    """One picture. size: bytes from `start` on in a tar; 0 for the whole file."""

    name: str
    prompt: str
    path: str
    start: int = 0
    size: int = 0

    def told(self) -> dict[str, Any]:
        return asdict(self)

    def load(self, side: int) -> Tensor:
        """(3, side, side). Raises ImageError."""
        if not self.size:
            return pictures.load(Path(self.path), side)
        with tempfile.TemporaryDirectory(prefix="guda-") as folder:
            copy = Path(folder, f"picture{Path(self.name).suffix}")
            try:
                with open_file(Path(self.path)) as file:
                    file.seek(self.start)
                    copy.write_bytes(file.read(self.size))
                return pictures.load(copy, side)
            except (OSError, ImageError) as error:
                reason = first_line(error).replace(str(copy), self.name)
                raise ImageError(f"{reason}, in {self.path}.") from None


def listed(source: Path, prompt: str = "") -> Iterator[Where]:
    """The pictures of a folder (in order of their names), a list, or a .tar.

    A prompt stands in a text file beside the picture (fox.txt for fox.png), in a list behind a tab;
    `prompt` is that of the others. Raises ImageError where there is no such source.
    """
    if source.is_dir():
        return _of_folder(source, prompt)
    if not source.is_file():
        raise ImageError(
            f"{source} was not found; give a folder of pictures, a text file that lists them, or a "
            ".tar of them."
        )
    return _of_tar(source, prompt) if tarfile.is_tarfile(source) else _of_list(source, prompt)


def shards(pictures: Iterable[Where], size: int) -> Iterator[tuple[Where, ...]]:
    """`size` pictures each, the last may be smaller."""
    rest = iter(pictures)
    while shard := tuple(islice(rest, size)):
        yield shard


def _of_folder(folder: Path, prompt: str) -> Iterator[Where]:
    for at, below, names in os.walk(folder):
        below.sort()
        for name in sorted(names):
            path = Path(at, name)
            if path.suffix.lower() in SUFFIXES:
                beside = path.with_suffix(".txt")
                own = read_text(beside).strip() if beside.is_file() else prompt
                yield Where(path.relative_to(folder).as_posix(), own, str(path.absolute()))


def _of_list(path: Path, prompt: str) -> Iterator[Where]:
    """One per line; relative to the list."""
    with open_file(path) as file:
        for number, line in enumerate(file, 1):
            try:
                name, _, own = line.decode("utf-8-sig").strip().partition("\t")
            except UnicodeDecodeError:
                raise ImageError(
                    f"line {number} of {path} is no text; list one picture per line, in UTF-8."
                ) from None
            if name:
                yield Where(name, own.strip() or prompt, str((path.parent / name).absolute()))


def _of_tar(path: Path, prompt: str) -> Iterator[Where]:
    """Members side by side with one stem belong together; nothing is unpacked."""
    waiting: list[tarfile.TarInfo] = []
    said: dict[str, str] = {}

    def flush() -> Iterator[Where]:
        for m in waiting:
            own = said.get(_stem(m.name), prompt)
            yield Where(m.name, own, str(path.absolute()), m.offset_data, m.size)
        waiting.clear()
        said.clear()

    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                vars(tar)["members"] = []  # it keeps every header otherwise
                if not member.isfile() or not member.size:
                    continue
                if waiting and _stem(waiting[-1].name) != _stem(member.name):
                    yield from flush()
                suffix = Path(member.name).suffix.lower()
                if suffix in SUFFIXES:
                    waiting.append(member)
                elif suffix == ".txt" and (text := tar.extractfile(member)):
                    said[_stem(member.name)] = text.read(LONGEST).decode("utf-8", "replace").strip()
            yield from flush()
    except tarfile.TarError as error:
        raise ImageError(
            f"{path} is no tar that can be read ({first_line(error)}); give one without "
            "compression."
        ) from error


def _stem(name: str) -> str:
    return name.rpartition(".")[0]
