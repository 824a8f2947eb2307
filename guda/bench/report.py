"""A benchmark's tables in Markdown, everything in JSON, and plots."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from ..files import write_atomically, write_text
from ..version import __version__
from .compare import Figure, Row
from .plots import agreement, cost, evaluations
from .run import Result
from .studies import by_schedule

TITLES = {
    "agreement": "Top-1 agreement with LOGO, with 95 % intervals",
    "cost": "Top-1 agreement against time",
    "evaluations": "Top-1 agreement against UNet evaluations",
}
TRUTH = "Pearson, truth"
SHOWN = ("Top-1", "MRR", "NDCG@3", "RBO", "Spearman", "Pearson")


def save(result: Result, folder: Path) -> Path:
    """Write results.md, results.json and plots; returns the Markdown file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "results.json", json.dumps(to_dict(result), indent=1))
    figures = {"agreement": agreement(result.rows), "cost": cost(result.rows)}
    if result.budgets:
        figures["evaluations"] = evaluations(result.budgets)
    for name, figure in figures.items():
        write_atomically(
            folder / f"{name}.png",
            lambda tmp, figure=figure: figure.savefig(tmp, format="png", dpi=150),
        )
    path = folder / "results.md"
    plots = "".join(f"\n![{TITLES[name]}]({name}.png)\n" for name in figures)
    write_text(path, to_markdown(result) + plots)
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
        "methods": {n: dataclasses.asdict(m) for n, m in bench.guda.items()},
        "budgets": [dataclasses.asdict(b) for b in result.budgets],
        "coverage": [dataclasses.asdict(c) for c in result.coverage],
        "screening": [dataclasses.asdict(s) for s in result.screening],
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
        _line(["method", *SHOWN, TRUTH, "Top-1 / ceiling"]),
        _rule(len(SHOWN) + 3),
    ]
    for row in rows:
        cells = [_text(row.figures[m]) for m in SHOWN]
        lines.append(_line([row.method, *cells, _text(row.truth), _text(row.ceiling_share)]))
    lines += _sizes(rows)
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
    lines += _screening(result) + _budgets(result) + _intervals(result)
    return "\n".join(lines) + "\n"


def _screening(result: Result) -> list[str]:
    if result.bench.screening is None:
        return []
    by, then = result.bench.screening
    heads = ["styles unlearned", "LOGO's first is among them", f"Top-1 of {then} among them"]
    lines = [
        "",
        f"Screening: for each query only the first styles of {by} are unlearned:",
        "",
        _line(heads),
        _rule(len(heads)),
    ]
    for row in result.screening:
        lines.append(_line([str(row.unlearned), _text(row.among), _text(row.top1)]))
    return lines


def _budgets(result: Result) -> list[str]:
    if not result.budgets:
        return []
    numbers = list(dict.fromkeys(b.evaluations for b in result.budgets))
    lines = [
        "",
        f"Top-1 of {next(iter(result.bench.guda))} by UNet evaluations per picture and group:",
        "",
        _line(["schedule", *map(str, numbers)]),
        _rule(len(numbers) + 1),
    ]
    for schedule, row in by_schedule(result.budgets).items():
        lines.append(_line([schedule, *(_text(b.top1) for b in row)]))
    return lines


def _intervals(result: Result) -> list[str]:
    if not result.coverage:
        return []
    heads = ["schedule", "evaluations", "covered", "half width", "error", "same leader"]
    lines = [
        "",
        f"Intervals (95 %) of {next(iter(result.bench.guda))}, against {result.bench.long:,} "
        "evaluations; half width and error in standard deviations of the deltas:",
        "",
        _line(heads),
        _rule(len(heads)),
    ]
    for c in result.coverage:
        numbers = [f"{c.covered:.1%}", f"{c.width:.2f}", f"{c.error:.2f}", f"{c.top1:.0%}"]
        lines.append(_line([c.schedule, f"{c.evaluations}", *numbers]))
    return lines


def _kinds(result: Result) -> list[str]:
    return list(dict.fromkeys(result.questions.kinds))


def _sizes(rows: list[Row]) -> list[str]:
    sized = [(row.method, row.size) for row in rows if row.size is not None]
    if not sized:
        return []
    lines = [
        "",
        "Deltas in nats against the truth behind the seeds, over all queries and groups "
        "(1 is ideal for both):",
        "",
        _line(["method", "slope", "correlation"]),
        _rule(3),
    ]
    return lines + [_line([m, _text(x.slope), _text(x.correlation)]) for m, x in sized]


def _text(figure: Figure | None) -> str:
    if figure is None:
        return ""
    mean, low, high = figure
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(n: int) -> str:
    return "|" + "---|" * n
