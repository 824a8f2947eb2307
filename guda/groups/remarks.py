"""What was read, guessed and left out on the way from a folder to style groups."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SHOWN = 3  # names that stand for many


class Reason(NamedTuple):
    """Why something was left out, of one and of many: "mask", "masks"."""

    one: str
    many: str


HIDDEN = Reason("hidden folder or file", "hidden folders and files")
NO_STYLE = Reason(
    "picture outside of the styles' folders", "pictures outside of the styles' folders"
)
NO_PICTURE = Reason("caption file without a picture", "caption files without a picture")


def unread(ending: str, where: str = "") -> Reason:
    one, many = (f"{ending} file", f"{ending} files") if ending else ("other file", "other files")
    return Reason(f"{one}{where} is not read", f"{many}{where} are not read")


@dataclass
class Remarks:
    """Gathered while a folder, or one style of it, is read."""

    left_out: dict[Reason, list[str]] = field(default_factory=dict)
    guessed: list[str] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    """Picture -> where its caption is from."""

    def leave(self, reason: Reason, name: str) -> None:
        self.left_out.setdefault(reason, []).append(name)

    def guess(self, text: str) -> None:
        if text not in self.guessed:
            self.guessed.append(text)

    @property
    def captions(self) -> dict[str, int]:
        """Where the captions are from -> how many, most first."""
        return dict(Counter(self.sources.values()).most_common())

    def lines_left_out(self) -> list[str]:
        """For example "2 masks (a_mask.png, b_mask.png)"."""
        return [
            f"{len(names)} {reason[len(names) != 1]} ({some(names)})"
            for reason, names in sorted(self.left_out.items())
        ]


def some(names: list[str]) -> str:
    """The first few, and that there are more."""
    more = ", ..." if len(names) > SHOWN else ""
    return ", ".join(sorted(names)[:SHOWN]) + more


@dataclass
class Reading:
    """How a folder was read: what concerns all of it, and each style by name."""

    root: Path
    whole: Remarks
    styles: dict[str, Remarks]
    doubts: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    """The styles concerned, and what is doubtful about their pictures; by `check_pictures`."""
