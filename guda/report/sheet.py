"""The picture of a sheet "asked for the style: with it, without it"."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from .drawing import FAINT, INK, Canvas
from .heatmap import to_image

TILE, PAD, HEAD, LINE, SIDE = 128, 8, 44, 20, 84


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
