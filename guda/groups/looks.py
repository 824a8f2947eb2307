"""What pictures look like beside each other: duplicates, near ones, and those that show nothing.

A picture that is trained on and held out as well makes the check prove less, and one that two
styles share teaches the styles' difference nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from . import pictures
from .remarks import some

SIDE, KEPT = 32, 8  # pixels and, from the lowest, cosines a side of the perceptual hash
MOST_BITS = 5  # of 63, in which near duplicates differ
MOST_SHADE = 8 / 255  # mean difference of their thumbnails
MOST_SHAPE = 0.05  # of the logarithms of width to height
FLAT = 2 / 255  # standard deviation of a picture that shows nothing


@dataclass(frozen=True)
class Look:
    """Enough of a picture to know it again."""

    exact: bytes
    bits: Tensor  # (2, 63), -1 or 1; of the picture and of its mirror image
    shades: Tensor  # (2, 192), likewise
    shape: float
    flat: str
    """ "all black" or "of one colour"; "" for pictures."""
    marks: tuple[str, ...]


def look(path: Path) -> Look:
    """Decodes the whole picture. Raises ImageError."""
    image = pictures.load(path, most=pictures.LARGE)
    pixels = image.mul(255).round().byte().numpy().tobytes()
    small = adaptive_avg_pool2d(image, SIDE)
    both = torch.stack([small, small.flip(-1)])
    return Look(
        hashlib.blake2b(pixels, digest_size=16).digest(),
        _bits(both.mean(1)),
        adaptive_avg_pool2d(both, KEPT).flatten(1),
        math.log(image.shape[2] / image.shape[1]),
        flat(image),
        pictures.marks(path),
    )


def flat(image: Tensor) -> str:
    """ "all black" or "of one colour" of a picture (c, H, W) that shows nothing; "" of others."""
    if image.std((1, 2)).max() >= FLAT:
        return ""
    return "all black" if image.max() < 0.05 else "of one colour"


def _bits(grey: Tensor) -> Tensor:
    """Which of the lowest waves are stronger than most; (n, 32, 32) -> (n, 63)."""
    k, n = torch.arange(KEPT)[:, None], torch.arange(SIDE)[None]
    cosines = torch.cos(math.pi / SIDE * (n + 0.5) * k)  # of the discrete cosine transform
    waves = (cosines @ grey @ cosines.T).flatten(1)[:, 1:]
    return torch.where(waves > waves.median(1, keepdim=True).values, 1.0, -1.0)


def pairs(looks: Sequence[Look]) -> list[tuple[int, int, bool]]:
    """(i, j, whether they are the same to the pixel) for i < j: copies, scaled or mirrored ones.

    Those that show nothing are left out.
    """
    whole = [i for i, one in enumerate(looks) if not one.flat]
    if len(whole) < 2:
        return []
    bits = torch.stack([looks[i].bits for i in whole])
    shades = torch.stack([looks[i].shades for i in whole])
    shapes = torch.tensor([looks[i].shape for i in whole])
    twins = []
    for a, i in enumerate(whole[:-1]):
        agree = bits[a + 1 :, 0] @ bits[a].T >= bits.shape[2] - 2 * MOST_BITS  # (others, 2)
        alike = (shapes[a + 1 :] - shapes[a]).abs() < MOST_SHAPE
        for b, mirrored in (agree & alike[:, None]).nonzero().tolist():
            j = whole[a + 1 + b]
            if (shades[a + 1 + b, 0] - shades[a, mirrored]).abs().mean() < MOST_SHADE:
                twins.append((i, j, looks[i].exact == looks[j].exact))
    return sorted(set(twins))


@dataclass(frozen=True)
class Seen:
    """A picture of a style, for `doubts`."""

    style: str
    id: str
    held_out: bool
    look: Look


def doubts(seen: Sequence[Seen]) -> list[tuple[tuple[str, ...], str]]:
    """(the styles that it concerns, what is doubtful about their pictures and the remedy)."""
    concerns: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for one in seen:
        if one.look.flat:
            concerns.setdefault(("flat", (one.style,)), []).append(f"{one.id} is {one.look.flat}")
    for i, j, exact in pairs([one.look for one in seen]):
        a, b = seen[i], seen[j]
        same = f"{a.id} and {b.id}"
        if a.style != b.style:
            concerns.setdefault(("across", (a.style, b.style)), []).append(same)
            continue
        concerns.setdefault(("same" if exact else "near", (a.style,)), []).append(same)
        if a.held_out != b.held_out:
            held = a if a.held_out else b
            concerns.setdefault(("held", (a.style,)), []).append(held.id)
    return [
        (styles, _SENTENCES[kind](some(of), *styles)) for (kind, styles), of in concerns.items()
    ]


MARKS = {
    "colour profile": "converted from another colour profile to sRGB",
    "transparency": "transparent in places, where the stored colours count, as in Load Image",
}
_SENTENCES: dict[str, Callable[..., str]] = {
    "flat": lambda of, k: f"{k} has pictures that show nothing: {of}; remove them.",
    "same": lambda of, k: f"{k} has the same picture twice: {of}; keep one of them.",
    "near": lambda of, k: f"{k} has nearly the same picture twice: {of}; keep one of them.",
    "held": lambda of, k: (
        f"{k} is checked with pictures that it is also trained on, so that the check proves less: "
        f"there are copies of {of}; keep one of each."
    ),
    "across": lambda of, k, other: (
        f"{k} and {other} share pictures: {of}; keep each in one style, as no style can be "
        "unlearned while another holds on to it."
    ),
}
