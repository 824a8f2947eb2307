"""Plots of a benchmark."""

from __future__ import annotations

from matplotlib.figure import Figure as Canvas

from ..report.drawing import BLUE, FAINT, INK, VERMILION
from .compare import CEILING, Row
from .studies import Budget, by_schedule

COLOURS = (VERMILION, BLUE, FAINT)


def agreement(rows: list[Row]) -> Canvas:
    """Top-1 with intervals, the ceiling as a line."""
    figure = Canvas(figsize=(8, 0.36 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    ceiling, *methods = rows
    mean, low, high = ceiling.figures["Top-1"]
    axes.axvspan(low, high, color=FAINT, alpha=0.15, lw=0)
    axes.axvline(mean, color=FAINT, lw=1, label=CEILING)
    for y, row in enumerate(methods):
        mean, low, high = row.figures["Top-1"]
        axes.plot([low, high], [y, y], color=_colour(row), lw=2)
        axes.plot(mean, y, "o", color=_colour(row), ms=6)
    axes.set_yticks(range(len(methods)), [r.method for r in methods])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("Top-1 agreement with LOGO")
    axes.legend(frameon=False, loc="lower right")
    _plain(axes)
    return figure


def cost(rows: list[Row]) -> Canvas:
    """Top-1 against wall time; the names stand at the right, in the order of Top-1."""
    figure = Canvas(figsize=(9, max(4.5, 0.27 * len(rows) + 1)), layout="constrained")
    axes = figure.subplots()
    ordered = sorted(rows, key=lambda r: r.figures["Top-1"][0])
    for place, row in enumerate(ordered):
        x, y = max(row.cost.seconds, 1e-2), row.figures["Top-1"][0]
        axes.plot(x, y, "o", color=_colour(row), zorder=3)
        axes.annotate(
            row.method,
            (x, y),
            (1.03, (place + 0.5) / len(ordered)),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=INK,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": FAINT, "lw": 0.4, "relpos": (0, 0.5)},
        )
    axes.set_xscale("log")
    axes.set_xlabel("seconds for all groups and queries")
    axes.set_ylabel("Top-1 agreement with LOGO")
    _plain(axes)
    return figure


def evaluations(budgets: list[Budget]) -> Canvas:
    """Top-1 against the number of UNet evaluations, a line per schedule."""
    figure = Canvas(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for (name, row), color in zip(by_schedule(budgets).items(), COLOURS, strict=True):
        x = [b.evaluations for b in row]
        mean, low, high = zip(*(b.top1 for b in row), strict=True)
        axes.fill_between(x, low, high, color=color, alpha=0.1, lw=0)
        axes.plot(x, mean, "o-", color=color, label=name)
    numbers = sorted({b.evaluations for b in budgets})
    axes.set_xscale("log", base=2)
    axes.set_xticks(numbers, map(str, numbers))
    axes.set_xlabel("UNet evaluations per picture and group")
    axes.set_ylabel("Top-1 agreement with LOGO")
    axes.legend(frameon=False)
    _plain(axes)
    return figure


def _colour(row: Row) -> str:
    return VERMILION if row.method.startswith("GUDA") else BLUE


def _plain(axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
