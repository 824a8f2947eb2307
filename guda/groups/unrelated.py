"""Pictures that have nothing to do with the styles: general styles, and a folder of the user's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from . import captions, folders
from .names import content_of_path
from .phrases import STYLE, marked
from .remarks import Remarks

GENERAL: tuple[str, ...] = (
    "watercolor", "oil painting", "pencil sketch", "charcoal", "pastel", "ink wash", "gouache",
    "woodcut", "linocut", "etching", "engraving", "lithograph", "stained glass", "mosaic",
    "embroidery", "origami", "pixel art", "low poly", "3d render", "claymation", "anime", "manga",
    "comic book", "cartoon", "children's book illustration", "graffiti", "poster", "pop art",
    "art nouveau", "art deco", "impressionist", "expressionist", "cubist", "surrealist", "baroque",
    "renaissance", "ukiyo-e", "byzantine icon", "cave painting", "photograph", "black and white",
    "blueprint", "vector art", "line art", "steampunk", "cyberpunk", "vaporwave", "minimalist",
)  # fmt: skip
"""Techniques, schools and media, of no artist alone. Those that a model knows are told first."""


class Unrelated(NamedTuple):
    id: str
    content: str
    path: Path


def general(styles: Iterable[str]) -> tuple[str, ...]:
    """The general styles that name none of the tested `styles`, and are named by none."""
    tested = tuple(styles)
    return tuple(
        phrase
        for phrase in GENERAL
        if not any(STYLE in marked(phrase, s) or STYLE in marked(s, phrase) for s in tested)
    )


def of_folder(folder: Path) -> Sequence[Unrelated]:
    """Every picture below `folder` with what it shows: by `fox.txt` beside it, else by its name.

    Raises GroupsError where there are none, or one is in a format that is not read.
    """
    scanned = folders.scan(Path(folder), Remarks())
    told = []
    for key, path in scanned.pictures.items():
        beside = folders.sidecar(key, scanned.beside)
        caption = None if beside is None else captions.read_sidecar(beside)
        content = caption or content_of_path(PurePosixPath(key), (), scanned.holders)
        told.append(Unrelated(key, content, path))
    return told
