"""What the pictures of one source say together: words, Markdown, a part of the page, JSON."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from ..escape import for_markdown
from ..scoring.source import FEWEST, SourceScores
from ..scoring.verdict import SAID, Attribution, Outcome
from . import wording

LOOKS = (
    "A source with a look of its own that is not among these styles can lean on the nearest of "
    "them, picture for picture; that is not always told apart here."
)


def verdict(source: SourceScores) -> str:
    """A style's name, or what `SAID` has."""
    return SAID.get(source.outcome) or source.scores[0].group


def parts(source: SourceScores, name: Callable[[str], str] = wording.plain) -> tuple[str, str]:
    """The verdict as a headline and its explanation; `name` marks up a style's name."""
    count = source.pictures
    if source.outcome is Outcome.UNTOLD:
        return (
            "Too few pictures to say anything of their source",
            f"{count} were given, and {FEWEST} are the fewest.",
        )
    first = source.scores[0]
    leader = name(first.group)
    decimals = wording.digits([first.delta, first.low, first.high])
    span = wording.span(first.low, first.high, decimals)
    mean = f"{wording.number(first.delta, decimals)} nats a picture ({span})"
    if source.outcome is Outcome.UNLIKE:
        return (
            "Unlike anything that the styles or the model explain",
            f"so {source.unlike} of the {count} pictures are, and the means below say little.",
        )
    if source.outcome is Outcome.NONE:
        head = "None of these, taken together"
        if source.kind is not None and source.kind.other:
            return head, (
                f"{leader} comes first{_sets(source)}, but the model errs on these pictures in "
                f"other ways than on {source.kind.pictures} in that style (p = "
                f"{_p(source.kind.p)}): theirs is a look of their own, or they show other things."
            )
        return head, f"{leader} comes first, and it does not stand out{_sets(source)}."
    if source.outcome is Outcome.UNDECIDED:
        near = [s for s in source.scores[1:] if s.p > 1 - source.confidence]
        names = [name(s.group) for s in (first, *near[:2])]
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        return (
            f"Undecided between {listed}, taken together",
            f"the first is not clear of the next{_sets(source)}; more pictures separate them.",
        )
    if source.null is None:
        return (
            f"First of these styles for the {count} pictures together: {leader}",
            f"{mean}, ahead of every other one; {wording.RANKING}.",
        )
    return (
        f"The {count} pictures together lean on {leader}",
        f"{source.strength} evidence, {mean}, ahead of every other one{_sets(source)}.",
    )


def _sets(source: SourceScores) -> str:
    null = source.null
    if null is None:
        return ""
    return (
        f", higher than {null.lower:,} of {null.sets:,} sets of {source.pictures} drawn from these "
        f"and {null.pool} pictures that have nothing to do with any style here"
    )


def to_markdown(attribution: Attribution) -> list[str]:
    """The section; [] where pictures were not asked together."""
    source = attribution.source
    if source is None:
        return []
    head, tail = parts(source, lambda n: f"**{for_markdown(n)}**")
    lines = ["## All pictures together", "", f"{head}: {tail}", ""]
    if source.scores:
        lines += [
            f"| rank | style | mean delta ({wording.unit(attribution)}) | "
            f"{wording.interval_name(attribution)} | part of what moves | p |",
            "| ---: | :--- | ---: | :---: | ---: | ---: |",
        ]
        rows = (" | ".join(map(for_markdown, row)) for row in _rows(source))
        lines += [f"| {row} |" for row in rows]
        lines += ["", f"{KEY} {LOOKS}"]
    return ["\n".join(lines)]


def to_html(attribution: Attribution) -> str:
    """The part of the page; empty where pictures were not asked together."""
    source = attribution.source
    if source is None:
        return ""
    head, tail = parts(source, lambda n: f"<strong>{escape(wording.plain(n))}</strong>")
    table = ""
    if source.scores:
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
            for row in _rows(source)
        )
        names = ("rank", "style", f"mean delta ({wording.unit(attribution)})",
                 wording.interval_name(attribution), "part of what moves", "p")  # fmt: skip
        heads = "".join(f'<th scope="col">{escape(n)}</th>' for n in names)
        table = (
            f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
            f'<p class="soft small">{escape(KEY)} {escape(LOOKS)}</p>'
        )
    return (
        '<section class="card" id="together"><h2>All pictures together</h2>'
        f'<p class="verdict">{head}: {tail}</p>{table}</section>'
    )


def to_dict(source: SourceScores) -> dict[str, Any]:
    null = source.null
    return {
        "pictures": source.pictures,
        "verdict": verdict(source),
        "outcome": source.outcome.value,
        "text": ": ".join(parts(source)),
        "stands_out": source.stands_out,
        "scores": [
            {
                "group": s.group, "delta": s.delta, "stderr": s.stderr, "low": s.low,
                "high": s.high, "part": s.part, "rank": s.rank, "p": s.p,
                **({} if s.seed_stderr is None else {"seed_stderr": s.seed_stderr}),
            }
            for s in source.scores
        ],
        **({} if null is None else {"null": vars(null)}),
        **({} if source.kind is None else {"kind": vars(source.kind)}),
    }  # fmt: skip


def _rows(source: SourceScores) -> list[tuple[str, ...]]:
    decimals = wording.digits(v for s in source.scores for v in (s.delta, s.low, s.high))
    return [
        (
            str(s.rank), wording.plain(s.group), wording.number(s.delta, decimals, signed=True),
            wording.span(s.low, s.high, decimals), f"{wording.number(100 * s.part, 0)} %", _p(s.p),
        )
        for s in source.scores
    ]  # fmt: skip


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


KEY = (
    "Means and intervals are over the pictures; with LoRAs, intervals also have what another seed "
    "of the unlearning would change. Styles are ordered by their part of what moves, in "
    "which every picture counts the same. p: that the first is not really ahead of this style "
    "(paired t-tests, for all styles together); beside the first, the largest of them."
)
