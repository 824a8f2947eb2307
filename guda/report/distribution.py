"""The null distribution in small, with one picture marked: bars for pages, cards and the panel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..scoring.verdict import Attribution, ImageScores
from .drawing import BLUE, FAINT, INK, QUIET, Canvas

BARS = 32
CAPTION = (
    "Bars: pictures that have nothing to do with these styles, by how far one style stands out in "
    "them. Names begin right of the dashed line; the blue line is this picture."
)


@dataclass(frozen=True)
class Distribution:
    """Bars of equal width from left to right, 0 ... 1 high; places are 0 ... 1 of the width."""

    bars: tuple[float, ...]
    mark: float  # this picture
    cut: float | None  # names begin right of it


def of(attribution: Attribution, image: ImageScores) -> Distribution | None:
    """None without a null pool, or where it has no picture that was asked so."""
    told = image.evidence
    if attribution.null is None or told is None:
        return None
    form = attribution.null.forms[told.form]
    values = np.array(form.statistics)
    if not len(values):
        return None
    ends = [*values[[0, -1]], told.statistic, *([] if form.cut is None else [form.cut])]
    low, high = min(ends), max(ends)
    room = (high - low) * 1.04 or 1.0  # so that the last does not lie on the edge
    low -= 0.02 * room
    counts, _ = np.histogram(values, BARS, (low, low + room))
    return Distribution(
        tuple((counts / counts.max()).tolist()),
        float((told.statistic - low) / room),
        None if form.cut is None else float((form.cut - low) / room),
    )


def svg(drawn: Distribution, label: str) -> str:
    """For the page. label: what is read aloud."""
    width = 100 / len(drawn.bars)
    parts = [
        f'<rect class="fill" x="{k * width + 0.2:.2f}%" y="{56 - 40 * tall:.1f}" '
        f'width="{width - 0.4:.2f}%" height="{max(40 * tall, 0):.1f}"/>'
        for k, tall in enumerate(drawn.bars)
        if tall
    ]
    at = f"{100 * drawn.mark:.2f}%"
    parts.append('<line class="zero" x1="0" x2="100%" y1="56" y2="56"/>')
    if drawn.cut is not None:
        cut = f"{100 * drawn.cut:.2f}%"
        parts.append(f'<line class="cut" x1="{cut}" x2="{cut}" y1="8" y2="60"/>')
    parts.append(f'<line class="mark" x1="{at}" x2="{at}" y1="10" y2="56"/>')
    parts.append(f'<circle class="mark" cx="{at}" cy="8" r="5"/>')
    return f'<svg class="null" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def draw(canvas: Canvas, drawn: Distribution, left: float, top: float, size: tuple) -> None:
    """For the card, in the box at (left, top) of `size` (width, height)."""
    wide, tall = size
    step, base = wide / len(drawn.bars), top + tall
    for k, bar in enumerate(drawn.bars):
        if bar:
            height = bar * (tall - 12)
            canvas.rect(left + k * step + 1, base - height, step - 2, height, QUIET)
    canvas.line([left, left + wide], [base, base], FAINT, 1)
    if drawn.cut is not None:
        x = left + drawn.cut * wide
        for y in range(round(top), round(base), 8):
            canvas.line([x, x], [y, min(y + 4, base)], INK, 1.5)
    x = left + drawn.mark * wide
    canvas.line([x, x], [top, base], BLUE, 3)
