"""A benchmark's table in Markdown, everything in JSON, and two plots."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from matplotlib.figure import Figure as Canvas

from ..drawing import BLUE, FAINT, INK, VERMILION
from ..files import write_atomically, write_text
from ..version import __version__
from .compare import CEILING, Figure, Row
from .run import Result

SHOWN = ("Top-1", "MRR", "NDCG@3", "RBO", "Spearman", "Pearson")


def save(result: Result, folder: Path) -> Path:
    """Write results.md, results.json, agreement.png and cost.png; returns the Markdown file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "results.json", json.dumps(to_dict(result), indent=1))
    for name, figure in (("agreement", agreement(result.rows)), ("cost", cost(result.rows))):
        write_atomically(
            folder / f"{name}.png",
            lambda tmp, figure=figure: figure.savefig(tmp, format="png", dpi=150),
        )
    path = folder / "results.md"
    write_text(path, to_markdown(result))
    return path


def to_dict(result: Result) -> dict:
    bench = result.bench
    return {
        "benchmark": bench.name,
        "version": __version__,
        "split": result.split,
        "groups": list(bench.groups.names),
        "queries": {k: result.questions.kinds.count(k) for k in _kinds(result)},
        "seeds": list(bench.seeds),
        "train": bench.train.as_dict(),
        "reference": bench.reference.as_dict(),
        "methods": {n: dataclasses.asdict(m) for n, m in bench.methods.items()},
        "coverage": [dataclasses.asdict(c) for c in result.coverage],
        "rows": [dataclasses.asdict(r) for r in result.rows],
    }


def to_markdown(result: Result) -> str:
    """The tables: agreement, Top-1 by kind of query, cost."""
    bench, rows, kinds = result.bench, result.rows, _kinds(result)
    lines = [
        f"# {bench.title}",
        "",
        f"{len(result.questions)} queries ({result.split} split), {len(bench.groups)} groups, "
        f"{len(bench.seeds)} LOGO seeds. Mean over the queries, with 95 % bootstrap intervals.",
        "",
        _line(["method", *SHOWN, "Top-1 / ceiling"]),
        _rule(len(SHOWN) + 2),
    ]
    for row in rows:
        cells = [_text(row.figures[m]) for m in SHOWN]
        lines.append(_line([row.method, *cells, _text(row.ceiling_share)]))
    lines += ["", "Top-1 by kind of query:", "", _line(["method", *kinds]), _rule(len(kinds) + 1)]
    for row in rows:
        lines.append(_line([row.method, *(_text(row.by_kind[k]) for k in kinds)]))
    if (result.questions.named >= 0).any():
        lines += ["", "Spearman over the styles that the prompt does not name:", ""]
        lines += [_line(["method", "Spearman"]), _rule(2)]
        lines += [_line([row.method, _text(row.others)]) for row in rows]
    heads = ["method", "time", "UNet evaluations", "peak memory", "disk per group", "remark"]
    lines += ["", "Cost of all groups and queries:", "", _line(heads), _rule(len(heads))]
    for row in rows:
        c = row.cost
        cells = [
            f"{c.seconds:.1f} s",
            "" if c.unet_evaluations is None else f"{c.unet_evaluations:,}",
            "" if c.peak_mib is None else f"{c.peak_mib:.0f} MiB",
            f"{c.disk_kib:.0f} KiB" if c.disk_kib else "",
            row.remark,
        ]
        lines.append(_line([row.method, *cells]))
    heads = ["schedule", "evaluations", "covered", "half width", "error", "same leader"]
    lines += [
        "",
        f"Intervals (95 %) of {next(iter(bench.methods))}, against {bench.long:,} evaluations; "
        "half width and error in standard deviations of the deltas:",
        "",
        _line(heads),
        _rule(len(heads)),
    ]
    for c in result.coverage:
        lines.append(
            _line(
                [
                    c.schedule,
                    f"{c.evaluations}",
                    f"{c.covered:.1%}",
                    f"{c.width:.2f}",
                    f"{c.error:.2f}",
                    f"{c.top1:.0%}",
                ]
            )
        )
    return "\n".join(lines) + "\n"


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
    """Top-1 against wall time."""
    figure = Canvas(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        x, y = max(row.cost.seconds, 1e-2), row.figures["Top-1"][0]
        axes.plot(x, y, "o", color=_colour(row))
        axes.annotate(row.method, (x, y), (5, 4), textcoords="offset points", fontsize=8, color=INK)
    axes.set_xscale("log")
    axes.set_xlabel("seconds for all groups and queries")
    axes.set_ylabel("Top-1 agreement with LOGO")
    axes.margins(x=0.25, y=0.15)
    _plain(axes)
    return figure


def _colour(row: Row) -> str:
    return VERMILION if row.method.startswith("GUDA") else BLUE


def _plain(axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)


def _kinds(result: Result) -> list[str]:
    return list(dict.fromkeys(result.questions.kinds))


def _text(figure: Figure) -> str:
    mean, low, high = figure
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(n: int) -> str:
    return "|" + "---|" * n
