"""Which styles the model knows, as plain data, a Markdown table and a CSV table."""

from __future__ import annotations

import csv
import io
from typing import Any

from ..escape import for_cell, for_markdown
from ..scoring.known import KnownStyles
from .tables import finite

COLUMNS = ("style", "phrase", "known", "times", "low", "high", "change")


def to_dict(known: KnownStyles) -> dict[str, Any]:
    """Ready for JSON, the styles in the order in which they were given."""
    return finite(
        {
            "styles": [dict(zip(COLUMNS, row, strict=True)) for row in _rows(known)],
            "known_from": known.known_from,
            "hardly_from": known.hardly_from,
            "contents": known.contents,
            "full_model": known.full_model,
            "unet_evaluations": known.unet_evaluations,
            "seconds": known.seconds,
            "version": known.version,
            "warnings": known.warnings,
        }
    )


def to_markdown(known: KnownStyles) -> str:
    """One row per style, and what the numbers mean."""
    lines = [
        *(f"> **Warning:** {for_markdown(text)}" for text in known.warnings),
        "| style | phrase | known? | moves the answer | 95 % interval |",
        "| :--- | :--- | :--- | ---: | :---: |",
    ]
    for name, phrase, said, times, low, high, _ in _rows(known):
        cells = (for_markdown(name), for_markdown(phrase), said)
        span = f"{low:.2g} to {high:.2g}"
        lines.append(f"| {' | '.join(cells)} | {times:.2g} times | {span} |")
    told = (
        "How many times as far as a made-up name the phrase moves the model's answer, over "
        f"{len(known.contents)} contents. Known from {known.known_from:.2g}, hardly known from "
        f"{known.hardly_from:.2g}. A style that is not known by this name may still be in the "
        "training data under another one, or without any."
    )
    return "\n".join([*lines, "", told])


def to_csv(known: KnownStyles) -> str:
    """One row per style, at full precision."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in _rows(known):
        writer.writerow([*map(for_cell, row[:3]), *finite(list(row[3:]))])
    return out.getvalue()


def _rows(known: KnownStyles) -> list[tuple[str, str, str, float, float, float, float]]:
    return [
        (s.style, s.phrase, s.knowledge.value, s.times, s.low, s.high, s.change)
        for s in known.styles
    ]
