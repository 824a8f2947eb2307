"""One picture's whole answer on one sheet: verdict, bars, numbers and heat maps, to be shared."""

from __future__ import annotations

from PIL import Image

from ..scoring.verdict import Attribution, ImageScores
from . import distribution, heatmap, placed, wording
from .charts import Axis, Pen, bar
from .drawing import FAINT, INK, Canvas

WIDTH, PAD, PHOTO = 1280, 40, 380  # pixels
BARS, ROW, TITLE = 136, 44, 68  # where the bars begin, a style's row, the maps' heading
NULL = 146  # what the null distribution and its words take of the height
MAPS = 4  # heat maps side by side
KEY = "Grey: pictures with none of these styles. Dashed: names begin. Blue: this one."
ROWS = 12  # styles that are listed, at most


def card(attribution: Attribution, image_index: int) -> Image.Image:
    """An opaque RGB picture, 1280 wide; its height follows from the number of styles."""
    image = attribution.images[image_index]
    listed = min(len(image.scores), ROWS)
    photo = placed.picture(attribution, image_index, PHOTO)
    bars = BARS + (NULL if image.evidence else 0)
    head = max(photo.height, bars + ROW * listed + 24)
    tile = (WIDTH - PAD * (MAPS + 1)) // MAPS
    drawn, scale = placed.overlays(attribution, image_index, top=MAPS, size=tile)
    maps_top = PAD + head + TITLE
    foot = maps_top + max(o.image.height for o in drawn) + 36
    canvas = Canvas(WIDTH, foot + 92 + (18 if attribution.warnings else 0))
    canvas.frame()
    canvas.picture(photo, PAD, PAD, photo.width, photo.height)
    left = PAD + PHOTO + PAD
    _verdict(canvas, attribution, image, left)
    _bars(canvas, attribution, image, left, PAD + bars)
    _maps(canvas, attribution, image, drawn, maps_top, tile)
    _foot(canvas, attribution, scale, foot)
    return canvas.image()


def _verdict(canvas: Canvas, attribution: Attribution, image: ImageScores, left: float) -> None:
    head, tail = wording.verdict_parts(image, wording.unit(attribution))
    room, y = WIDTH - PAD - left, PAD + 16
    for line in canvas.wrap(head, 30, room, lines=2, bold=True):
        canvas.text(left, y, line, 30, INK, bold=True)
        y += 38
    said = f"\u201c{wording.plain(image.prompt)}\u201d" if image.prompt.strip() else image.image
    tail = tail[:1].upper() + tail[1:]
    if image.evidence is not None:
        for line in canvas.wrap(tail, 16, room, lines=3):
            canvas.text(left, y, line, 16, INK)
            y += 24
        if drawn := distribution.of(attribution, image):
            distribution.draw(canvas, drawn, left, y + 4, (room, 64))
        canvas.text(left, y + 84, KEY, 14, FAINT)
        canvas.text(left, y + 108, canvas.fit(said, 16, room), 16, FAINT)
        return
    for line in canvas.wrap(tail, 17, room, lines=2):
        canvas.text(left, y, line, 17, FAINT)
        y += 24
    if y < PAD + 110:
        canvas.text(left, y + 2, canvas.fit(said, 17, room), 17, FAINT)


def _bars(
    canvas: Canvas, attribution: Attribution, image: ImageScores, left: float, top: float
) -> None:
    decimals, pointed = wording.digits_of(image), wording.contenders(image)
    names, right = 210.0, WIDTH - PAD
    axis = Axis.of(image, left + names + 16, right - 250)
    for k, score in enumerate(image.scores[:ROWS]):
        y, leads = top + ROW * (k + 0.5), score.group in pointed
        ink = INK if leads else FAINT
        name = canvas.fit(score.group, 18, names, bold=leads)
        canvas.text(left, y, name, 18, ink, bold=leads)
        bar(canvas, axis, score, y, pointed, Pen(24, 6, 2))
        number = wording.number(score.delta, decimals, signed=True)
        canvas.text(right - 140, y, number, 20, ink, bold=leads, align="right")
        canvas.text(
            right, y, wording.span(score.low, score.high, decimals), 15, FAINT, align="right"
        )
    bottom = top + ROW * min(len(image.scores), ROWS)
    canvas.line([axis(0)] * 2, [top, bottom], INK, 1.5)
    rest = len(image.scores) - ROWS
    more = f", {rest} more in the table" if rest > 0 else ""
    caption = f"{wording.unit(attribution)}, {wording.interval_name(attribution)}{more}"
    canvas.text(right, bottom + 14, caption, 14, FAINT, align="right")


def _maps(canvas: Canvas, attribution: Attribution, image: ImageScores, drawn, top, tile) -> None:
    decimals, unit = wording.digits_of(image), wording.unit(attribution)
    for k, overlay in enumerate(drawn):
        x = PAD + k * (tile + PAD)
        canvas.picture(overlay.image, x, top, overlay.image.width, overlay.image.height)
        delta = f"{wording.number(overlay.delta, decimals, signed=True)} {unit}"
        room = tile - canvas.width_of(delta, 16) - 12
        name = canvas.fit(overlay.group, 19, room, bold=True)
        canvas.text(x, top - 20, name, 19, INK, bold=True)
        canvas.text(x + tile, top - 20, delta, 16, FAINT, align="right")


def _foot(canvas: Canvas, attribution: Attribution, scale: float, top: float) -> None:
    name = wording.plain(str(attribution.full_model.get("name", "the model")))
    legend = "Orange: the style explains this place. Violet: the model does better here without it."
    canvas.text(PAD, top, legend, 15, INK)
    heatmap.legend(canvas, WIDTH - PAD - 260, top - 10, 260, scale, wording.unit(attribution))
    y = top + 26
    for line in canvas.wrap(wording.MEANING, 13, WIDTH - 2 * PAD - 300, lines=2):
        canvas.text(PAD, y, line, 13, FAINT)
        y += 18
    how = ", direct answer: nothing was unlearned" if attribution.direct else ""
    canvas.text(PAD, y, f"model {name}, GUDA {attribution.version}{how}", 13, FAINT)
    if attribution.warnings:
        said = f"Warning: {' '.join(attribution.warnings)}"
        said = canvas.fit(said, 13, WIDTH - 2 * PAD, bold=True)
        canvas.text(PAD, y + 18, said, 13, INK, bold=True)
