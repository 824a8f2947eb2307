"""Unlearning losses as small multiples, one panel per style group; fast enough to be a preview."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image

from .drawing import BLUE, FAINT, HAIRLINE, INK, VERMILION, Canvas
from .wording import digits, number

Curve = Sequence[tuple[int, float, float]]  # (step, forget loss, retain loss)
SERIES = (("forget", VERMILION), ("retain", BLUE))
WIDTH, PAD, HEADER, GAP, LEAST = 512, 16, 38, 14, 96
POINTS = 240  # drawn per curve: about as many as a panel has pixels


def loss_curve(
    losses: Mapping[str, Curve], *, size: tuple[int, int] = (512, 320), steps: int | None = None
) -> Image.Image:
    """Per group the forget and the retain loss against the step: an opaque RGB picture.

    size: pixels; the height grows where the groups need more. steps: the whole run's length, so
    that the curves show how far training is; None ends the axis at the last step. All panels share
    both axes. Faint lines are the losses, strong ones their moving average.
    """
    scale = size[0] / WIDTH
    columns = min(len(losses), 2 if len(losses) in (2, 4) else 3) or 1
    rows = math.ceil(len(losses) / columns) or 1
    height = max(HEADER + rows * (LEAST + GAP) + 4, size[1] / scale)
    canvas = Canvas(WIDTH, height, scale=scale)
    canvas.frame()
    curves = {name: [p for p in curve if all(map(math.isfinite, p))] for name, curve in
              losses.items()}  # fmt: skip
    last = max((p[0] for curve in curves.values() for p in curve), default=1)
    top = _top(curves)
    _legend(canvas, steps, last if any(curves.values()) else 0)
    w = (WIDTH - 2 * PAD - GAP * (columns - 1)) / columns
    h = (height - HEADER - 4) / rows - GAP
    for k, (name, curve) in enumerate(curves.items()):
        x, y = PAD + k % columns * (w + GAP), HEADER + k // columns * (h + GAP)
        _panel(canvas, (x, y, w, h), name, curve, max(steps or last, 1), top)
    return canvas.image()


def _top(curves: Mapping[str, Curve]) -> float:
    """The shared axis' end: the averages' largest value with a little room above it."""
    smooth = [v for curve in curves.values() for k in (1, 2) for v in _average(curve, k)]
    return max(smooth, default=0.0) * 1.15 or 1.0


def _average(curve: Curve, column: int) -> list[float]:
    """An exponential moving average over a tenth of the curve."""
    keep = 1 - 1 / max(len(curve) / 10, 1)
    averages: list[float] = []
    for point in curve:
        before = averages[-1] if averages else point[column]
        averages.append(keep * before + (1 - keep) * point[column])
    return averages


def _legend(canvas: Canvas, steps: int | None, last: int) -> None:
    x = PAD
    for name, color in SERIES:
        canvas.line([x, x + 16], [20, 20], color, 3)
        canvas.text(x + 22, 20, f"{name} loss", 12, INK)
        x += 44 + canvas.width_of(f"{name} loss", 12)
    progress = f"step {last}" + (f" of {steps}" if steps else "")
    canvas.text(WIDTH - PAD, 20, progress, 12, FAINT, align="right")


def _panel(
    canvas: Canvas, box: tuple[float, float, float, float], name: str, curve: Curve, steps: int,
    top: float,
) -> None:  # fmt: skip
    x, y, w, h = box
    plot, base = y + 34, y + h - 2
    canvas.rect(x, plot, w, base - plot, "#ffffff", edge=HAIRLINE)
    stride = max(1, math.ceil(len(curve) / POINTS))
    xs = [x + w * point[0] / steps for point in curve][::stride]
    left = x
    for column, (_, color) in enumerate(SERIES, 1):
        if not curve:
            continue
        averages = _average(curve, column)
        for values, width, alpha in (
            ([point[column] for point in curve], 1.0, 0.3),
            (averages, 2.0, 1.0),
        ):
            ys = [base - (base - plot) * min(max(v, 0) / top, 1) for v in values[::stride]]
            canvas.line(xs, ys, color, width, alpha=alpha)
        latest = number(averages[-1], digits([averages[-1]]) if averages[-1] < 10 else 1)
        canvas.text(left, y + 24, latest, 11, color)
        left += canvas.width_of(latest, 11) + 10
    canvas.text(x, y + 9, canvas.fit(name, 12, w, bold=True), 12, INK, bold=True)
    if not curve:
        canvas.text(x + w / 2, (plot + base) / 2, "waiting", 11, FAINT, align="center")
