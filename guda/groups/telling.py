"""What a folder's owner should know before anything runs: what was read, guessed, left out."""

from __future__ import annotations

import textwrap
from typing import Any

from .group import Group, StyleGroups
from .remarks import Remarks

PROMPTS = 3
WIDTH = 96


def to_dict(groups: StyleGroups) -> dict[str, Any]:
    """The same as `to_text`, for programs."""
    reading = groups.reading
    whole = reading.whole if reading else Remarks()
    return {
        "folder": str(reading.root) if reading else "",
        "styles": [_style(groups, group) for group in groups],
        "guessed": whole.guessed,
        "left_out": whole.lines_left_out(),
        "warnings": list(groups.warnings),
    }


def _style(groups: StyleGroups, group: Group) -> dict[str, Any]:
    remarks = _remarks(groups, group)
    return {
        "name": group.name,
        "style": group.style,
        "pictures": len(group.examples),
        "captions": remarks.captions,
        "prompts": _prompts(group, remarks),
        "guessed": remarks.guessed,
        "left_out": remarks.lines_left_out(),
    }


def to_text(groups: StyleGroups, *, short: bool = False) -> str:
    """A paragraph per style, then what concerns the whole folder.

    short: one prompt of each style and no warnings, which the work itself yields.
    """
    told = to_dict(groups)
    lines = []
    for style in told["styles"]:
        called = f'{style["name"]}: {style["pictures"]} pictures, prompts say "{style["style"]}"'
        captions = ", ".join(f"{n} from {source}" for source, n in style["captions"].items())
        lines += _wrapped(f"{called}; captions: {captions}" if captions else called, "")
        lines += [f'  prompt: "{p}"' for p in style["prompts"][: 1 if short else PROMPTS]]
        lines += _remarked(style, "  ")
    lines += _remarked(told, "")
    warnings = [] if short else told["warnings"]
    lines += [line for text in warnings for line in _wrapped(f"warning: {text}", "")]
    return "\n".join(lines)


def _remarked(told: dict[str, Any], indent: str) -> list[str]:
    texts = [f"left out: {text}" for text in told["left_out"]]
    texts += [f"guessed: {text}" for text in told["guessed"]]
    return [line for text in texts for line in _wrapped(text, indent)]


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}    ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _prompts(group: Group, remarks: Remarks) -> list[str]:
    """Whole ones, each from another source as far as they go."""
    by_source: dict[str, list[str]] = {}
    for example in group.examples:
        source = by_source.setdefault(remarks.sources.get(example.id, ""), [])
        if (prompt := example.prompt(group.style)) not in source:
            source.append(prompt)
    longest = max(len(prompts) for prompts in by_source.values())
    turns = [p[i] for i in range(longest) for p in by_source.values() if i < len(p)]
    return list(dict.fromkeys(turns))[:PROMPTS]


def _remarks(groups: StyleGroups, group: Group) -> Remarks:
    styles = groups.reading.styles if groups.reading else {}
    return styles.get(group.name, Remarks())
