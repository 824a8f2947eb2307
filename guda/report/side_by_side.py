"""A picture beside its leading styles' heat maps, on one sheet."""

from __future__ import annotations

import math
from typing import NamedTuple

from PIL import Image

from ..scoring.verdict import Attribution, ImageScores
from . import heatmap, placed, wording
from .drawing import FAINT, INK, Canvas

PAD, NAME, LEGEND = 16, 40, 76  # pixels: around a tile, below it for its name, of a legend's row
LEAST = 200  # of a column, in which a name and a number stand side by side


class Block(NamedTuple):
    """Lines of one kind in the sheet's empty cell."""

    lines: list[str]
    size: float
    color: str
    bold: bool

    @property
    def height(self) -> float:
        return len(self.lines) * self.size * 1.4 + 10


def sheet(
    attribution: Attribution, image_index: int, *, top: int = heatmap.LEADING, tile: int = 320
) -> Image.Image:
    """The picture, then the leading groups' overlays, three in a row, with one legend."""
    drawn, scale = placed.overlays(attribution, image_index, top=top, size=tile)
    image, unit = attribution.images[image_index], wording.unit(attribution)
    decimals = wording.digits_of(image)
    tiles = [(placed.picture(attribution, image_index, tile), "the picture", "")]
    tiles += [
        (o.image, o.group, wording.number(o.delta, decimals, signed=True) + f" {unit}")
        for o in drawn
    ]
    w, h = tiles[0][0].size
    columns = 2 if len(tiles) == 4 else min(3, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    wide, high = max(w, min(tile, LEAST)), h + NAME + 8
    spare = len(tiles) % columns  # cells taken in a last row that has room for a note
    note = _note(image, unit, wide) if spare else []
    below = not spare or 12 + _height(note) > h - min(wide, 320) / 5  # the legend has its own row
    while _height(note) > high - 12:
        note.pop()
    height = PAD + rows * high + (LEGEND if below else 0)
    canvas = Canvas(PAD + columns * (wide + PAD), height)
    canvas.frame()
    for k, (picture, title, value) in enumerate(tiles):
        x, y = PAD + k % columns * (wide + PAD), PAD + k // columns * high
        canvas.picture(picture, x + (wide - w) / 2, y, w, h)
        room = wide - canvas.width_of(value, 17) - 10
        title = canvas.fit(title, 19, room, bold=k > 0)
        canvas.text(x, y + h + 20, title, 19, INK if k else FAINT, bold=k > 0)
        canvas.text(x + wide, y + h + 20, value, 17, FAINT, align="right")
    cell = PAD + spare * (wide + PAD)
    left = PAD if below else cell
    room = min(canvas.width - PAD - left, 320)
    center = left + (canvas.width - PAD - left - room) / 2
    end = height - (6 if below else NAME + 8)
    heatmap.legend(canvas, center, end - room / 5, room, scale, unit)
    y = PAD + (rows - 1) * high + 12
    for block in note:
        for k, line in enumerate(block.lines):
            at = y + k * block.size * 1.4
            canvas.text(cell, at, line, block.size, block.color, bold=block.bold)
        y += block.height
    return canvas.image()


def _height(note: list[Block]) -> float:
    return sum(block.height for block in note)


def _note(image: ImageScores, unit: str, w: float) -> list[Block]:
    """The verdict and how to read the colours, w pixels wide, what matters most first."""
    canvas = Canvas(w, 1)
    head, tail = wording.verdict_parts(image, unit)
    blocks = [
        (head, 20, INK, True, 3),
        (tail, 17, FAINT, False, 8 if image.evidence else 3),
        ("Orange: the style explains this place.", 17, INK, False, 2),
        ("Violet: the model does better here without it.", 17, INK, False, 2),
    ]
    return [
        Block(canvas.wrap(text, size, w, lines=lines, bold=bold), size, color, bold)
        for text, size, color, bold, lines in blocks
    ]
