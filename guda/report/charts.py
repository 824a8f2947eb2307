"""The bar chart of one picture's scores."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from ..scoring.verdict import Attribution, ImageScores, Score
from . import placed, wording
from .drawing import BLUE, FAINT, HAIRLINE, INK, QUIET, SKY, Canvas

WIDTH = 512  # logical pixels; a wider chart is the same drawing, enlarged
HEADER, FOOTER, PAD = 92, 52, 20
EVIDENCE = 48  # more of a header, for what a null pool says in three more lines
ROW = (27, 44)  # least and greatest height of a bar's row


@dataclass(frozen=True)
class Axis:
    """Values low ... high laid over the pixels left ... right."""

    low: float
    high: float
    left: float
    right: float

    def __call__(self, value: float) -> float:
        clipped = min(max(value, self.low), self.high)
        return self.left + (clipped - self.low) / (self.high - self.low) * (self.right - self.left)

    @classmethod
    def of(cls, image: ImageScores, left: float, right: float) -> Axis:
        """From zero to every end that the picture's scores and intervals have."""
        ends = [v for s in image.scores for v in (s.low, s.high, s.delta) if math.isfinite(v)]
        low, high = min([0.0, *ends]), max([0.0, *ends])
        return cls(low, high if high > low else low + 1.0, left, right)


def bars(
    attribution: Attribution, image_index: int, *, size: tuple[int, int] = (1024, 640)
) -> Image.Image:
    """Horizontal bars with interval whiskers, best first: an opaque RGB picture.

    size: pixels; the height grows where the groups need more. Every picture of one attribution
    gets the same size.
    """
    image = attribution.images[image_index]
    scale = size[0] / WIDTH
    count = max(len(image.scores), 1)
    top = HEADER + (EVIDENCE if any(i.evidence for i in attribution.images) else 0)
    row = min(max((size[1] / scale - top - FOOTER) / count, ROW[0]), ROW[1])
    height = max(top + row * count + FOOTER, size[1] / scale)
    canvas = Canvas(WIDTH, height, scale=scale)
    canvas.frame()
    _header(canvas, attribution, image_index, top)
    _rows(canvas, attribution, image, top, row)
    return canvas.image()


def _header(canvas: Canvas, attribution: Attribution, index: int, high: float) -> None:
    image = attribution.images[index]
    thumbnail = placed.picture(attribution, index, 180)
    fit = 60 / max(thumbnail.size)
    w, h = thumbnail.width * fit, thumbnail.height * fit
    canvas.picture(thumbnail, PAD + (60 - w) / 2, (high - h) / 2, w, h)
    left, room = PAD + 74, WIDTH - 2 * PAD - 74
    head, tail = wording.verdict_parts(image, wording.unit(attribution))
    titles = canvas.wrap(head, 16, room, bold=True)
    lines = [(line, 16, INK, True) for line in titles]
    most = 3 + round((high - HEADER) / 16)
    said = canvas.wrap(tail, 12, room, lines=most - len(titles))
    lines += [(line, 12, FAINT, False) for line in said]
    if len(lines) < 3:
        lines.append((wording.plain(image.image), 12, FAINT, False))
    apart = 19 if len(lines) < 4 else 17
    y = high / 2 - apart * (len(lines) - 1) / 2
    for text, points, color, bold in lines:
        text = canvas.fit(text, points, room, bold=bold)
        canvas.text(left, y, text, points, color, bold=bold)
        y += apart


def _rows(
    canvas: Canvas, attribution: Attribution, image: ImageScores, top: float, row: float
) -> None:
    decimals = wording.digits_of(image)
    values = [wording.number(s.delta, decimals, signed=True) for s in image.scores]
    names = [canvas.fit(s.group, 13, 165) for s in image.scores]
    label = max((canvas.width_of(name, 13, bold=True) for name in names), default=0)
    value = max((canvas.width_of(text, 13, bold=True) for text in values), default=0)
    axis = Axis.of(image, PAD + label + 12, WIDTH - PAD - value - 12)
    bottom = top + row * len(image.scores)
    loss = f"loss without the style ({wording.unit(attribution)})"
    _grid(canvas, axis, (top, bottom), f"{loss}, with {wording.interval_name(attribution)}")

    pointed, pen = wording.contenders(image), Pen(min(row * 0.62, 20), 4, 1.4)
    for k, (score, name, text) in enumerate(zip(image.scores, names, values, strict=True)):
        y, leads = top + row * (k + 0.5), score.group in pointed
        canvas.text(PAD + label, y, name, 13, INK if leads else FAINT, bold=leads, align="right")
        canvas.text(WIDTH - PAD, y, text, 13, INK if leads else FAINT, bold=leads, align="right")
        bar(canvas, axis, score, y, pointed, pen)
    canvas.line([axis(0)] * 2, [top - 4, bottom + 2], INK, 1.2)


class Pen(NamedTuple):
    """Of a bar: its height, half the height of its whisker's ends, the width of their lines."""

    thick: float
    cap: float
    width: float


def bar(
    canvas: Canvas, axis: Axis, score: Score, y: float, pointed: Collection[str], pen: Pen
) -> None:
    """A score's bar around y, and its interval's whisker, where they are finite.

    pointed: the groups that the verdict names.
    """
    thick, cap, width = pen
    color = (BLUE if len(pointed) == 1 else SKY) if score.group in pointed else QUIET
    if math.isfinite(score.delta):
        left, right = sorted((axis(0), axis(score.delta)))
        canvas.rect(left, y - thick / 2, right - left, thick, color)
    if math.isfinite(score.low) and math.isfinite(score.high):
        ends = [axis(score.low), axis(score.high)]
        canvas.line(ends, [y, y], INK, width)
        for x in ends:
            canvas.line([x, x], [y - cap, y + cap], INK, width)


def _grid(canvas: Canvas, axis: Axis, ends: tuple[float, float], caption: str) -> None:
    from matplotlib.ticker import MaxNLocator

    top, bottom = ends
    ticks = [t for t in MaxNLocator(4).tick_values(axis.low, axis.high)
             if axis.low <= t <= axis.high]  # fmt: skip
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step, decimals) != round(step, decimals + 2):  # steps of 2.5
        decimals += 1
    for tick in ticks:
        canvas.line([axis(tick)] * 2, [top - 4, bottom + 2], HAIRLINE, 1.0)
        text = wording.number(tick, decimals)
        canvas.text(axis(tick), bottom + 14, text, 11, FAINT, align="center")
    caption = canvas.fit(caption, 11.5, WIDTH - 2 * PAD)
    canvas.text(WIDTH / 2, bottom + 34, caption, 11.5, FAINT, align="center")
