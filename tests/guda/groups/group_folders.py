"""Folders of styles for tests: every picture different and no duplicate of another."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

STEMS = ("fox", "owl", "cat", "dog")


def picture(path: Path, seed: object = None, size: tuple[int, int] = (48, 40), **options) -> Path:
    """Coarse coloured blocks, by the path's name unless a seed is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = zlib.crc32(repr(path.parts[-3:] if seed is None else seed).encode())
    blocks = np.random.default_rng(key).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC).save(path, **options)
    return path


def styles(root: Path, names: Iterable[str] = ("Ink", "Oil"), stems: Iterable[str] = STEMS) -> Path:
    stems = tuple(stems)
    for name in names:
        for stem in stems:
            picture(root / name / f"{stem}.png")
    return root


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path
