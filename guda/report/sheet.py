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

TILE, PAD, HEAD, LINE, SIDE = 128, 8, 44, 20, 84
LARGEST = 4096
"""Pixels of a sheet's side; a larger picture is none."""
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
    canvas = Canvas(SIDE + n * (TILE + PAD) + PAD, HEAD + rows * (TILE + PAD) + LINE)
    canvas.frame()
    half = n // 2 * (TILE + PAD)
    for x, name in ((SIDE, f"asked for {style}"), (SIDE + half, f"asked for {kept}, kept")):
        canvas.text(x, 14, canvas.fit(name, 14, half - PAD, bold=True), 14, INK, bold=True)
    for i, prompt in enumerate(prompts):
        x = SIDE + i * (TILE + PAD)
        canvas.text(x, 34, canvas.fit(prompt, 10, TILE), 10, FAINT)
    for k, label in enumerate(("with it", "without it")):
        y = HEAD + k * (TILE + PAD)
        canvas.text(PAD, y + TILE / 2, label, 12, INK)
        for i, picture in enumerate(pictures[k]):
            canvas.picture(to_image(picture), SIDE + i * (TILE + PAD), y, TILE, TILE)
    note = f"One seed per column. Without {style}, the left half should differ, the right not."
    canvas.text(PAD, canvas.height - LINE / 2, canvas.fit(note, 10, canvas.width - 2 * PAD), 10,
                FAINT)  # fmt: skip
    return canvas.image()


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
