"""Held-out pictures at every noise level, and what a model answers to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import Backbone
from ..diffusion.noise import standard_normal
from ..diffusion.room import Room
from ..groups import Example
from ..groups.encode import EncodedGroup, PromptTable
from .progress import LEVELS

MOST = 32
"""Forget pictures, and retain pictures, that are looked at."""


@dataclass(frozen=True)
class Held:
    """n pictures, each at all of `LEVELS`: rows (n * levels, ...), picture by picture."""

    pictures: tuple[tuple[str, Example], ...]  # group and example
    styles: tuple[str, ...]
    x0: Tensor
    eps: Tensor
    x_t: Tensor
    t: Tensor

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def named(self) -> list[str]:
        return [e.prompt(s) for (_, e), s in zip(self.pictures, self.styles, strict=True)]

    @property
    def unnamed(self) -> list[str]:
        return [e.styleless() for _, e in self.pictures]

    @classmethod
    def of(
        cls, backbone: Backbone, encoded: Mapping[str, EncodedGroup], names: Sequence[str],
        seed: int, most: int = MOST,
    ) -> Held:  # fmt: skip
        """At most `most` held-out pictures, taken from the groups in turn."""
        queues = [
            [
                (name, e, encoded[name].group.style, x)
                for e, x in zip(encoded[name].heldout, encoded[name].heldout_latents, strict=True)
            ]
            for name in sorted(names)
        ]
        longest = max(map(len, queues))
        rows = [q[i] for i in range(longest) for q in queues if i < len(q)][:most]
        times = [max(1, level * backbone.schedule.length // 1000) for level in LEVELS]
        x0 = torch.stack([x for *_, x in rows for _ in LEVELS])
        t = torch.tensor(times * len(rows))
        eps = torch.stack(
            [
                standard_normal(seed, f"{name}/{e.id}", at, 0, x.shape)
                for name, e, _, x in rows
                for at in times
            ]
        )
        x_t = backbone.schedule.add_noise(x0, eps, t)
        pictures = tuple((name, e) for name, e, *_ in rows)
        return cls(pictures, tuple(style for *_, style, _ in rows), x0, eps, x_t, t)

    def first(self, n: int) -> Held:
        """The first n pictures, or all where there are fewer."""
        rows = (x[: n * len(LEVELS)] for x in (self.x0, self.eps, self.x_t, self.t))
        return Held(self.pictures[:n], self.styles[:n], *rows)

    @torch.no_grad()
    def answers(self, backbone: Backbone, prompts: Sequence[str], room: Room) -> Tensor:
        """(rows, c, h, w) float32 on the CPU; prompts: one per picture."""
        table = PromptTable(backbone, prompts)

        def part(rows: slice) -> Tensor:
            own = [prompts[i // len(LEVELS)] for i in range(len(self.t))[rows]]
            return backbone.predict_eps(self.x_t[rows], self.t[rows], table[own]).float().cpu()

        return torch.cat(list(room.over(len(self.t), part)))

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, levels) float64: mean squared differences."""
        return (a.double() - b.double()).square().flatten(1).mean(1).view(len(self), len(LEVELS))
