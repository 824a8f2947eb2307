"""Sheets: the pictures of style groups, and what a style looks like with it and without it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from ..guda.groups import StyleGroups, pictures
from ..guda.report.drawing import INK, Canvas
from ..guda.report.heatmap import to_image
from ..guda.report.sheet import opened
from .convert import to_batch

COLUMNS, TILE, PAD, TITLE = 8, 96, 8, 24
MOST = 64
"""Sheets of styles in one batch; the others lie beside their LoRAs."""
NONE = "No sheet was drawn. Switch on sheet in Unlearn Styles, and run again."


def contact_sheet(groups: StyleGroups) -> Tensor:
    """The first pictures of each group, one row per group under its name: (1, H, W, 3)."""
    columns = min(COLUMNS, max(len(g.examples) for g in groups))
    row = TITLE + TILE + PAD
    canvas = Canvas(PAD + columns * (TILE + PAD), PAD + len(groups) * row)
    canvas.frame()
    for k, group in enumerate(groups):
        y = PAD + k * row
        name = canvas.fit(group.name, 14, canvas.width - 2 * PAD, bold=True)
        canvas.text(PAD, y + TITLE / 2 - 2, name, 14, INK, bold=True)
        for i, example in enumerate(group.examples[:columns]):
            picture = to_image(pictures.load(example.path, TILE))  # type: ignore[arg-type]
            canvas.picture(picture, PAD + i * (TILE + PAD), y + TITLE, TILE, TILE)
    return to_batch([canvas.image()])


def style_sheets(paths: Iterable[Path]) -> Tensor:
    """(n, H, W, 3), as they lie beside the LoRAs; words in their place where there are none."""
    images = [image for path in list(paths)[:MOST] if (image := opened(path)) is not None]
    if not images:
        canvas = Canvas(640, 64)
        canvas.frame()
        canvas.text(PAD, 32, NONE, 14, INK)
        images = [canvas.image()]
    return to_batch(images)
