"""What the model without the style should answer on held-out pictures, as far as it is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import Backbone
from ..diffusion.noise import generator
from ..diffusion.room import Room
from ..groups import Example
from ..groups.encode import PromptTable
from ..variants import ANCHORS, OPERATORS
from .batches import Batch, Batches, Predict
from .held import Held
from .progress import LEVELS

ANCHORED, DISTINCT = 64, 8
"""Anchors chosen per picture, until there are so many different ones."""


@dataclass(frozen=True)
class Target:
    """What the student should answer on the forget pictures, as far as it is known."""

    mean: Tensor  # (rows, c, h, w)
    doubt: Tensor  # (n, levels) by how much ||. - mean||^2 is too large, from the choice of anchors

    def first(self, n: int) -> Target:
        """Of the first n pictures."""
        return Target(self.mean[: n * len(LEVELS)], self.doubt[:n])


def anchors_of(batches: Batches, example: Example) -> dict[str, int]:
    """The anchors that training redirects the example to, and how often in so many choices."""
    rng = generator("probe", batches.config.seed, batches.group, example.id)
    strategy, counts = ANCHORS[batches.config.anchor], dict[str, int]()
    for _ in range(ANCHORED):
        if len(counts) == DISTINCT:
            break
        anchor = strategy(batches.anchors, example, rng)
        counts[anchor] = counts.get(anchor, 0) + 1
    return counts


def target_of(backbone: Backbone, held: Held, batches: Batches, room: Room) -> Target | None:
    """None for an operator without a target, where the model takes no prompts.

    Operators that redirect to nearest retain pictures have theirs; where there are prompts, the
    mean of the full model's answers to the anchors is the yardstick of all the others.
    """
    operator = OPERATORS[batches.config.operator]
    if operator.needs_neighbours:
        return _towards_neighbours(backbone, held, batches, room)
    return _towards_anchors(backbone, held, batches, room) if backbone.conditional else None


def _towards_anchors(backbone: Backbone, held: Held, batches: Batches, room: Room) -> Target:
    """The mean of n answers, and V / n, V their variance: E ||s - mean||^2 is too large by that."""
    counts = [anchors_of(batches, e) for _, e in held.pictures]
    mean, square = torch.zeros_like(held.eps), torch.zeros(len(held), len(LEVELS)).double()
    for k in range(max(map(len, counts))):
        own = [i for i, c in enumerate(counts) if k < len(c)]
        rows = [i * len(LEVELS) + j for i in own for j in range(len(LEVELS))]
        some = Held(
            tuple(held.pictures[i] for i in own), tuple(held.styles[i] for i in own),
            *(x[rows] for x in (held.x0, held.eps, held.x_t, held.t)),
        )  # fmt: skip
        prompts = [list(counts[i])[k] for i in own]
        answer = some.answers(backbone, prompts, room)
        part = torch.tensor([counts[i][p] / sum(counts[i].values()) for i, p in
                             zip(own, prompts, strict=True)])  # fmt: skip
        each = part.repeat_interleave(len(LEVELS)).view(-1, 1, 1, 1)
        mean[rows] += each * answer
        square[own] += part[:, None] * some.distance(answer, torch.zeros_like(answer))
    n = torch.tensor([sum(c.values()) for c in counts]).double()[:, None]
    variance = (square - held.distance(mean, torch.zeros_like(mean))).clamp(min=0)
    return Target(mean, variance / (n - 1).clamp(min=1))


class _Aim(Batch):
    """A batch whose losses are the targets themselves."""

    def losses(self, student: Predict, target: Tensor) -> tuple[Tensor, Tensor]:
        return target[: self.n], target[self.n :]


@torch.no_grad()
def _towards_neighbours(backbone: Backbone, held: Held, batches: Batches, room: Room) -> Target:
    encoded, config = batches.encoded, batches.config
    retain = torch.cat([encoded[k].latents for k in sorted(encoded) if k != batches.group])
    table, prompts = PromptTable(backbone, held.named), held.named

    def part(rows: slice) -> Tensor:
        x0 = held.x0[rows]
        near = torch.cdist(x0.flatten(1), retain.flatten(1))
        near = near.topk(min(config.neighbours, len(retain)), largest=False).indices
        condition = table[[prompts[i // len(LEVELS)] for i in range(len(held.t))[rows]]]
        aim = _Aim(
            n=len(x0),
            x0=x0,
            eps=held.eps[rows],
            x_t=held.x_t[rows],
            t=held.t[rows],
            condition=condition,
            teacher_condition=condition,
            empty_condition=table[[""] * len(x0)],
            neighbours=retain[near],
            schedule=backbone.schedule,
            conditional=backbone.conditional,
        )
        ask = backbone.predict_eps
        return OPERATORS[config.operator](ask, ask, aim, config)[0].float().cpu()

    mean = torch.cat(list(room.over(len(held.t), part)))
    return Target(mean, torch.zeros(len(held), len(LEVELS)).double())
