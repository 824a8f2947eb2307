"""Encoded prompts: (n, tokens, width), of one length or of several."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

MOST_CHUNKS = 32
"""Of a prompt; of a longer one the beginning and the end are read, where styles are named."""


@dataclass(frozen=True)
class Conditioning:
    """Encoded prompts: `embeds` (n, tokens, width), and whatever else a UNet takes (n, ...).

    tokens: (n,) how many of a row's tokens are its own, where prompts are of several lengths; the
    rest is filling, which no model may be given (see `even`). None: all of them.
    """

    embeds: Tensor
    added: Mapping[str, Tensor] = field(default_factory=dict)
    tokens: Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeds)

    def take(self, index: Tensor | Sequence[int]) -> Conditioning:
        index = torch.as_tensor(index, dtype=torch.long, device=self.embeds.device)
        tokens = None if self.tokens is None else self.tokens[index]
        added = {k: v[index] for k, v in self.added.items()}
        return Conditioning(self.embeds[index], added, tokens)

    def to(self, *args, **kwargs) -> Conditioning:
        added = {k: v.to(*args, **kwargs) for k, v in self.added.items()}
        embeds = self.embeds.to(*args, **kwargs)
        return Conditioning(
            embeds, added, None if self.tokens is None else self.tokens.to(embeds.device)
        )

    @staticmethod
    def cat(parts: Sequence[Conditioning]) -> Conditioning:
        added = {k: torch.cat([p.added[k] for p in parts]) for k in parts[0].added}
        longest = max(p.embeds.shape[1] for p in parts)
        embeds = [F.pad(p.embeds, (0, 0, 0, longest - p.embeds.shape[1])) for p in parts]
        tokens = torch.cat([p.lengths() for p in parts])
        return Conditioning(
            torch.cat(embeds), added, None if bool((tokens == longest).all()) else tokens
        )

    def then(self, other: Conditioning) -> Conditioning:
        """Row by row the tokens of both, one behind the other; what else there is, is the first's.

        As ComfyUI's Conditioning (Concat) has it.
        """
        mine, theirs = self.lengths().tolist(), other.lengths().tolist()
        rows = [
            Conditioning(
                torch.cat(
                    [self.embeds[i : i + 1, :n], other.embeds[i : i + 1, :m].to(self.embeds)], 1
                ),
                {k: v[i : i + 1] for k, v in self.added.items()},
            )
            for i, (n, m) in enumerate(zip(mine, theirs, strict=True))
        ]
        return Conditioning.cat(rows)

    def lengths(self) -> Tensor:
        """(n,) tokens of every row."""
        if self.tokens is not None:
            return self.tokens
        _, most, _ = self.embeds.shape
        return torch.full((len(self),), most, device=self.embeds.device)

    def even(self) -> Iterator[tuple[Tensor, Conditioning]]:
        """Rows (their indices) of the same length, and what they are without filling.

        Given to the UNet apart, no row's answer depends on the length of its neighbours.
        """
        lengths = self.lengths()
        for length in lengths.unique():
            rows = (lengths == length).nonzero().flatten()
            part = self.take(rows)
            yield rows, Conditioning(part.embeds[:, : int(length)], part.added)

    def repeated(self) -> Tensor:
        """(n, tokens, width): rows repeated to the same length, as ComfyUI does in a batch.

        Attention to keys that are there several times is attention to them once. It takes more
        room than `even`, and is for what needs one tensor.
        """
        if self.tokens is None:
            return self.embeds
        most = math.lcm(*self.tokens.tolist())
        rows = zip(self.embeds, self.tokens.tolist(), strict=True)
        return torch.stack([row[:own].repeat(most // own, 1) for row, own in rows])

    def equal(self, other: Conditioning) -> Tensor:
        """(n,) whether a row is the same as that of `other`."""
        both = Conditioning.cat([self, other])
        (a, b), (m, n) = both.embeds.chunk(2), both.lengths().chunk(2)
        return (a == b).flatten(1).all(1) & (m == n)
