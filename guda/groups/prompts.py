"""What prompts and captions hold beyond plain words, and how they fit the text encoder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..diffusion import Backbone
from ..diffusion.conditioning import MOST_CHUNKS
from ..steps import Steps, warn
from .captions import STYLE
from .group import Group, StyleGroups

MARKUP = {
    r"\([^()]+:\s*[-+]?(?:\d+\.?\d*|\.\d+)\s*\)": (
        "Weights",
        "nothing is weighted. Take them out, or leave them if the model was trained on such text",
    ),
    r"\bembedding:[\w./\\-]+": (
        "Embeddings",
        "no embedding is loaded. Say in words what they stand for",
    ),
    r"<(?:lora|lyco|locon|loha|lokr|hypernet):[^<>]+>": (
        "LoRA tags",
        "no LoRA is applied. Take them out, and use a model that the LoRA is part of (Base Model "
        "from Graph)",
    ),
}
"""Pattern -> what it is called, what becomes of it and the remedy."""
READ = ("Weights", "Embeddings")
"""What of it a model's own text encoder may read (`weighs_prompts`), as ComfyUI's does."""


def doubts(backbone: Backbone, prompts: Sequence[str]) -> Iterator[str]:
    """Warnings: of markup, and of prompts that are too long to be read whole."""
    if not backbone.conditional:
        return
    for pattern, (name, becomes) in MARKUP.items():
        if name in READ and getattr(backbone, "weighs_prompts", False):
            continue
        found = [m[0] for m in map(re.compile(pattern, re.IGNORECASE).search, prompts) if m]
        if found:
            yield (
                f'{name} such as "{found[0]}" stand in {_share(len(found), prompts)} and are read '
                f"as plain words: {becomes}."
            )
    cut = sum(n > MOST_CHUNKS for n in backbone.chunks(prompts))
    if cut:
        yield (
            f"{_share(cut, prompts).capitalize()} are longer than {MOST_CHUNKS} times what the "
            "text encoder takes at once: their beginning and their end are read, the middle is "
            "cut. Shorten them."
        )


def warnings(backbone: Backbone, prompts: Sequence[str]) -> Steps[None]:
    """The doubts, as steps."""
    for text in doubts(backbone, prompts):
        yield warn(text)


def of_groups(groups: StyleGroups) -> list[str]:
    """Every example's prompt."""
    return [e.prompt(g.style) for g in groups for e in g.examples]


def reading(backbone: Backbone, groups: StyleGroups) -> dict[str, str]:
    """What a counterfactual depends on where captions are more than a few plain words.

    Longer than the encoder takes at once, or with weights that a graph's CLIP reads. Empty where
    none is, so that what was made before such captions were read so stays valid.
    """
    longest = max((g.style for g in groups), key=len)  # anchors put other styles into a caption
    asked = [e.prompt(s) for g in groups for e in g.examples for s in {g.style, longest}]
    made = {"captions": "in chunks"} if any(n > 1 for n in backbone.chunks(asked)) else {}
    weighs = getattr(backbone, "weighs_prompts", None)
    return made | {"markup": "weighed"} if callable(weighs) and any(map(weighs, asked)) else made


def late(backbone: Backbone, group: Group) -> str:
    """Where many captions name the style late, a likely cause of a gate that failed; else empty."""
    heads = [
        e.template.partition(STYLE)[0] + group.style for e in group.examples if STYLE in e.template
    ]
    count = sum(n > 1 for n in backbone.chunks(heads))
    if 2 * count < len(group.examples):
        return ""
    return (
        f"in {count} of {len(group.examples)} captions the style's name stands past what the text "
        "encoder takes at once, where many trainers cut captions, so that the model may never have "
        "read it: put it first"
    )


def _share(count: int, prompts: Sequence[str]) -> str:
    return f"{count} of {len(prompts)} {'prompts' if len(prompts) > 1 else 'prompt'}"
