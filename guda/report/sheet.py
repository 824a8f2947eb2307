"""The picture of a sheet "asked for the style: with it, without it"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from ..files.png import is_whole
from ..scoring.verdict import Attribution
from .drawing import FAINT, INK, Canvas
from .heatmap import to_image

TILE, PAD, HEAD, FOOT, SIDE = 128, 8, 44, 22, 84
SMALL, LINE, LINES = 11, 14, 24
"""Of a prompt under its column: the letters' size, a line's height, and the most lines, which no
prompt that a text encoder reads whole needs."""
LARGEST = 4096
"""Pixels of a sheet's side; a larger picture is none."""
NOTE = "One seed per column. The left half should differ, the right half should not."
CAPTION = (
    "Drawn from the same seeds by the full model (above) and by the model without the style "
    "(below). Asked for the style, on the left, the two should differ; asked for another style, on "
    "the right, they should not."
)
MOST = 24
"""Sheets that a report or a panel shows."""


def with_and_without(
    style: str, kept: str, prompts: Sequence[str], pictures: Tensor
) -> Image.Image:
    """Above the full model's, below those without the style; see `jobs.sheet` for the columns.

    pictures: (2, n, 3, H, W) in [0, 1], n an even number: the first half of the style.
    """
    rows, n = pictures.shape[:2]
    canvas = _canvas(n, 0)
    captions = [canvas.wrap(p, SMALL, TILE, lines=LINES) for p in prompts]
    under = HEAD + rows * (TILE + PAD)
    canvas = _canvas(n, under + max(map(len, captions), default=0) * LINE + FOOT)
    canvas.frame()
    half = n // 2 * (TILE + PAD)
    for x, name in ((SIDE, f"asked for {style}"), (SIDE + half, f"asked for {kept}, kept")):
        _head(canvas, name, x, half - PAD)
    for k, label in enumerate(("with it", "without it")):
        y = HEAD + k * (TILE + PAD)
        canvas.text(PAD, y + TILE / 2, label, 12, INK)
        for i, picture in enumerate(pictures[k]):
            canvas.picture(to_image(picture), SIDE + i * (TILE + PAD), y, TILE, TILE)
    for i, caption in enumerate(captions):
        for k, line in enumerate(caption):
            canvas.text(SIDE + i * (TILE + PAD), under + (k + 0.5) * LINE, line, SMALL, INK)
    canvas.text(PAD, canvas.height - FOOT / 2, NOTE, SMALL, FAINT)
    return canvas.image()


def _canvas(columns: int, height: float) -> Canvas:
    return Canvas(SIDE + columns * (TILE + PAD) + PAD, height)


def _head(canvas: Canvas, text: str, x: float, room: float) -> None:
    """On two lines, or on three smaller ones."""
    size, most = (14, 2) if len(canvas.wrap(text, 14, room, lines=3, bold=True)) < 3 else (11, 3)
    lines = canvas.wrap(text, size, room, lines=most, bold=True)
    for k, line in enumerate(lines):
        y = HEAD / 2 + (k - (len(lines) - 1) / 2) * size * 1.2
        canvas.text(x, y, line, size, INK, bold=True)


def opened(path: Path) -> Image.Image | None:
    """A sheet's file as RGB; None where it is gone, damaged or something else."""
    if not is_whole(path):
        return None
    with Image.open(path) as picture:
        return picture.convert("RGB") if max(picture.size) <= LARGEST else None


def thumbnail(sheet: Image.Image) -> Image.Image:
    """The style's own pictures alone: above with it, below without it."""
    half = (sheet.width - SIDE - PAD) // 2
    return sheet.crop((SIDE, HEAD, SIDE + half - PAD, HEAD + 2 * TILE + PAD))


def shown(attribution: Attribution) -> Mapping[str, Image.Image]:
    """The sheets of the styles that rank highest in any picture, at most `MOST`, by style."""
    ranks: dict[str, int] = {}
    for image in attribution.images:
        for score in image.scores:
            ranks[score.group] = min(score.rank, ranks.get(score.group, score.rank))
    there = sorted(attribution.sheets, key=lambda name: ranks.get(name, len(ranks)))[:MOST]
    read = {name: opened(attribution.sheets[name]) for name in there}
    return {name: sheet for name, sheet in read.items() if sheet is not None}


def to_html(attribution: Attribution, img: Callable[[Image.Image, str], str]) -> str:
    """A card of the report: every style as the model draws it; empty without sheets."""
    drawn = shown(attribution)
    if not drawn:
        return ""
    rest = len(attribution.sheets) - len(drawn)
    more = f" {rest} more lie beside their LoRAs." if rest > 0 else ""
    figures = [
        f"<figure>{img(image, f'{name}, with it and without it')}</figure>"
        for name, image in drawn.items()
    ]
    return f"""<section class="card"><h2>Each style, with it and without it</h2>
<p class="soft small">{CAPTION}{more}</p>
<div class="sheets">{"".join(figures)}</div></section>"""
