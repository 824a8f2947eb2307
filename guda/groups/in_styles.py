"""One prompt, asked in every style: what direct counterfactuals put to the full model.

A prompt that names a tested style ("fox, in ink style, flat") is asked with each other style in
that place. A prompt that names none is the content of the template. Of several names the first
keeps its place and the others are taken out; for an empty one the style alone is left of the
template ("in ink style"). Whether the named style is the right one does not matter: all are asked
alike.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .group import StyleGroups
from .phrases import CONTENT, STYLE, TEMPLATE, content_of, marked


@dataclass(frozen=True)
class Asked:
    """A prompt as given, what it shows without a style, and the same in each of K styles."""

    prompt: str
    content: str
    in_styles: tuple[str, ...]
    named: tuple[int, ...]
    """Which of the styles the prompt names, in their order."""


def in_styles(prompt: str, styles: Sequence[str], template: str = TEMPLATE) -> Asked:
    """styles: the phrases that prompts use. template: for prompts that name none of them."""
    named, form = [], prompt
    # The longest first: a prompt that says "fluent ink" does not name "ink" as well.
    for k in sorted(range(len(styles)), key=lambda k: -len(styles[k])):
        before = form.count(STYLE)
        form = marked(form, styles[k])
        if form.count(STYLE) > before:
            named.append(k)
    if named:
        form = _one_place(form)
        content = content_of(form)
    else:
        content = prompt.strip()
        form = template.replace(CONTENT, content) if content else _alone(template)
    return Asked(
        prompt, content, tuple(form.replace(STYLE, s) for s in styles), tuple(sorted(named))
    )


def template_of(groups: StyleGroups) -> str:
    """The form in which most captions of the groups name their style; else the usual template.

    Captions that name it somewhere in their midst have no form in common.
    """
    forms = Counter(
        e.template.replace(e.content, CONTENT, 1)
        for g in groups
        for e in g.examples
        if e.content and e.content in e.template
    )
    for form, times in forms.most_common(1):
        whole = form.count(STYLE) == 1 and form.count(CONTENT) == 1
        if whole and 2 * times > sum(len(g.examples) for g in groups):
            return form
    return TEMPLATE


def _alone(template: str) -> str:
    """The template where nothing is known of what is shown."""
    text = re.sub(r"\s+([,.;:])", r"\1", " ".join(template.replace(CONTENT, "").split()))
    return re.sub(r"([,;])(?:\s*[,;])+", r"\1", text).strip(" ,;:") or STYLE


_HELD = "\ue000"  # of the private use area, so no caption has it
_JOINED = re.compile(r"\{style\}(?:\s*(?:,|&|\+|/|\b(?:and|with|x)\b)\s*\{style\})+")


def _one_place(form: str) -> str:
    """Markers in several places become one, the first: "in {style} and {style} style"."""
    form = _JOINED.sub(STYLE, form)
    if form.count(STYLE) == 1:
        return form
    return content_of(form.replace(STYLE, _HELD, 1)).replace(_HELD, STYLE)
