"""Anchors: the condition that a forget prompt is redirected to (GUDA-C).

A strategy is a function (context, forget example, generator) -> the anchor's prompt. To add one,
write the function here under `ANCHORS.add`; what it may look at is `context.AnchorContext`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..settings import setting
from ..variants import ANCHORS

if TYPE_CHECKING:
    from torch import Generator

    from ..groups import Example
    from .context import AnchorContext

SIMILARITY = {
    "anchor_beta": setting(
        2.0, "awss: sharpness of the preference for similar styles.", low=-100.0, high=100.0
    ),
    "anchor_eta": setting(
        0.3, "awss: share of anchors drawn evenly from all other styles.", low=0.0, high=1.0
    ),
}


@ANCHORS.add("same content in another style, drawn by style similarity", settings=SIMILARITY)
def awss(context: AnchorContext, example: Example, rng: Generator) -> str:
    """Anchor-weighted style sampling: the same content in a retain style drawn by similarity."""
    return example.prompt(context.similar(rng).style)


@ANCHORS.add("in any other style")
def uniform(context: AnchorContext, example: Example, rng: Generator) -> str:
    """The same content in any retain style."""
    return example.prompt(context.any_of(context.others, rng).style)


@ANCHORS.add("without a style")
def style_removed(context: AnchorContext, example: Example, rng: Generator) -> str:
    """The content alone."""
    return example.styleless()


@ANCHORS.add("the caption of a retain picture with the same content", needs_same_content=True)
def matched_retain(context: AnchorContext, example: Example, rng: Generator) -> str:
    """The caption of a retain picture that shows the same content."""
    return context.any_of(context.same_content(example), rng)
