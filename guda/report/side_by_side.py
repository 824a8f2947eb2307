"""A picture beside its leading styles' heat maps, on one sheet."""

from __future__ import annotations

import math

from PIL import Image

from ..scoring.verdict import Attribution, ImageScores
from . import heatmap, placed, wording
from .drawing import FAINT, INK, Canvas


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
    pad, name = 16, 40
    spare = len(tiles) % columns  # cells taken in a last row that has room for the legend
    height = pad + rows * (h + name + 8) + (0 if spare else 76)
    canvas = Canvas(pad + columns * (w + pad), height)
    canvas.frame()
    for k, (picture, title, value) in enumerate(tiles):
        x, y = pad + k % columns * (w + pad), pad + k // columns * (h + name + 8)
        canvas.picture(picture, x, y, w, h)
        room = w - canvas.width_of(value, 17) - 10
        title = canvas.fit(title, 19, room, bold=k > 0)
        canvas.text(x, y + h + 20, title, 19, INK if k else FAINT, bold=k > 0)
        canvas.text(x + w, y + h + 20, value, 17, FAINT, align="right")
    left = pad + spare * (w + pad)
    room = min(canvas.width - pad - left, 320)
    center = left + (canvas.width - pad - left - room) / 2
    end = height - (name + 8 if spare else 6)
    heatmap.legend(canvas, center, end - room / 5, room, scale, unit)
    if spare:
        _note(canvas, image, unit, (left, pad + (rows - 1) * (h + name + 8) + 12, w))
    return canvas.image()


def _note(canvas: Canvas, image: ImageScores, unit: str, at: tuple[float, float, float]) -> None:
    """The verdict and how to read the colours, in the sheet's empty cell."""
    x, y, w = at
    head, tail = wording.verdict_parts(image, unit)
    blocks = [
        (head, 20, INK, True, 3),
        (tail, 17, FAINT, False, 3),
        ("Orange: the style explains this place.", 17, INK, False, 2),
        ("Violet: the model does better here without it.", 17, INK, False, 2),
    ]
    for text, size, color, bold, lines in blocks:
        for line in canvas.wrap(text, size, w, lines=lines, bold=bold):
            canvas.text(x, y, line, size, color, bold=bold)
            y += size * 1.4
        y += 10
