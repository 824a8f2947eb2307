"""What an anchor may look at: the other groups, and how alike their styles are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ..config import UnlearnConfig
from ..diffusion import Backbone
from ..errors import GroupsError
from ..groups import Example, Group, StyleGroups, split_heldout
from ..variants import ANCHORS

T = TypeVar("T")


@dataclass(frozen=True)
class AnchorContext:
    """The group to forget and the others."""

    group: Group
    others: tuple[Group, ...]
    weights: Tensor  # (others,) probability of each other style under AWSS
    by_content: dict[str, tuple[str, ...]]  # content -> prompts of retain pictures that show it

    def similar(self, rng: torch.Generator) -> Group:
        """One of the others, drawn by the similarity of its style."""
        return self.others[int(torch.multinomial(self.weights, 1, generator=rng))]

    def any_of(self, things: Sequence[T], rng: torch.Generator) -> T:
        """One of them, each as likely."""
        return things[int(torch.randint(len(things), (1,), generator=rng))]

    def same_content(self, example: Example) -> tuple[str, ...]:
        """The prompts of retain pictures that show what the example shows. Raises GroupsError."""
        if example.content not in self.by_content:
            raise _without_counterpart(self.group, example)
        return self.by_content[example.content]


def anchor_context(
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


def check_anchors(groups: StyleGroups, group: Group, config: UnlearnConfig) -> None:
    """Raises GroupsError where a picture of `group` would have no anchor."""
    if not ANCHORS[config.anchor].needs_same_content:
        return
    contents = {e.content for other in groups.others(group.name) for e in other.examples}
    for example in split_heldout(group, config.heldout)[0]:
        if example.content not in contents:
            raise _without_counterpart(group, example)


def _without_counterpart(group: Group, example: Example) -> GroupsError:
    free = [a.name for a in ANCHORS.values() if not a.needs_same_content]
    return GroupsError(
        f"The picture {example.id!r} of group {group.name!r} shows {example.content!r}, which no "
        f"other group shows, so it has no matched_retain anchor; choose the anchor "
        f"{', '.join(free[:-1])} or {free[-1]}."
    )


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
