"""Anchors: the condition that a forget prompt is redirected to (GUDA-C).

A strategy is a function (context, forget example, generator) -> the anchor's prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import UnlearnConfig
from ..diffusion import Backbone
from ..errors import GroupsError
from ..groups import Example, Group, StyleGroups


@dataclass(frozen=True)
class AnchorContext:
    """What a strategy may look at: the group to forget, the others, how alike their styles are."""

    group: Group
    others: tuple[Group, ...]
    weights: Tensor  # (others,) probability of each other style under AWSS
    by_content: dict[str, tuple[str, ...]]  # content -> prompts of retain pictures that show it


Strategy = Callable[[AnchorContext, Example, torch.Generator], str]


def awss(context: AnchorContext, example: Example, rng: torch.Generator) -> str:
    """Anchor-weighted style sampling: the same content in a retain style drawn by similarity."""
    index = int(torch.multinomial(context.weights, 1, generator=rng))
    return example.prompt(context.others[index].style)


def uniform(context: AnchorContext, example: Example, rng: torch.Generator) -> str:
    """The same content in any retain style."""
    index = int(torch.randint(len(context.others), (1,), generator=rng))
    return example.prompt(context.others[index].style)


def style_removed(context: AnchorContext, example: Example, rng: torch.Generator) -> str:
    """The content alone."""
    return example.styleless()


def matched_retain(context: AnchorContext, example: Example, rng: torch.Generator) -> str:
    """The caption of a retain picture that shows the same content."""
    prompts = context.by_content.get(example.content)
    if not prompts:
        raise GroupsError(
            f"The picture {example.id!r} of group {context.group.name!r} shows "
            f"{example.content!r}, which no other group shows, so it has no matched_retain anchor; "
            "choose the anchor awss, uniform or style_removed."
        )
    return prompts[int(torch.randint(len(prompts), (1,), generator=rng))]


STRATEGIES: dict[str, Strategy] = {
    "awss": awss,
    "uniform": uniform,
    "style_removed": style_removed,
    "matched_retain": matched_retain,
}


def style_weights(style: Tensor, others: Tensor, beta: float, eta: float) -> Tensor:
    """(1 - eta) softmax(beta cos(style, others)) + eta uniform (Murata et al. 2026, AWSS).

    style: (d,), others: (m, d). Returns (m,) float64 that sums to 1.
    """
    cosine = torch.cosine_similarity(style.double()[None], others.double(), dim=-1)
    return (1 - eta) * torch.softmax(beta * cosine, 0) + eta / len(others)


def style_embedding(backbone: Backbone, group: Group) -> Tensor:
    """(d,): the mean text embedding over the group's descriptors and their tokens."""
    embeds = backbone.encode_prompts(list(group.descriptors)).repeated()
    return embeds.float().mean((0, 1)).cpu()


def context(
    backbone: Backbone, groups: StyleGroups, group: Group, config: UnlearnConfig
) -> AnchorContext:
    """Everything the strategies need to unlearn `group`."""
    others = tuple(sorted(groups.others(group.name), key=lambda g: g.name))
    embeddings = torch.stack([style_embedding(backbone, g) for g in others])
    weights = style_weights(
        style_embedding(backbone, group), embeddings, config.anchor_beta, config.anchor_eta
    )
    by_content: dict[str, list[str]] = {}
    for other in others:
        for example in other.examples:
            by_content.setdefault(example.content, []).append(example.prompt(other.style))
    return AnchorContext(
        group, others, weights, {content: tuple(p) for content, p in by_content.items()}
    )
