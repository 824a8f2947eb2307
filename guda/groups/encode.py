"""Style groups as the UNet sees them: latents and captions, computed once for all groups."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import Backbone, Conditioning
from ..steps import Step, Steps
from . import Example, Group, StyleGroups, pictures, split_heldout


@dataclass(frozen=True)
class EncodedGroup:
    """The training and the held-out part of one group; latents (n, c, h, w) float32 on the CPU."""

    group: Group
    train: tuple[Example, ...]
    latents: Tensor
    heldout: tuple[Example, ...]
    heldout_latents: Tensor


def encode_groups(
    backbone: Backbone,
    groups: StyleGroups,
    heldout: float,
    batch: int = 16,
    resolution: int = 0,
) -> Steps[dict[str, EncodedGroup]]:
    """Encode every picture of every group; yields once per batch of pictures.

    resolution: pixels, of the training parts; 0: the model's, which held-out ones always have.
    """
    total = sum(len(g.examples) for g in groups)
    encoded: dict[str, EncodedGroup] = {}
    done = 0
    for group in groups:
        train, held = split_heldout(group, heldout)
        n, own = len(train), backbone.resolution
        # Of one size, both parts are encoded together.
        cuts = [(0, n, resolution), (n, None, own)] if resolution else [(0, None, own)]
        latents = []
        for first, last, side in cuts:
            parts, examples = [], (*train, *held)[first:last]
            for start in range(0, len(examples), batch):
                some = examples[start : start + batch]
                loaded = [pictures.load(_path(e), side) for e in some]
                parts.append(backbone.encode_images(torch.stack(loaded)))
                done += len(some)
                yield Step("encode", done, total, group.name)
            latents.append(torch.cat(parts))
        ours, theirs = latents if resolution else (latents[0][:n], latents[0][n:])
        encoded[group.name] = EncodedGroup(group, train, ours, held, theirs)
    return encoded


def encode_part(
    backbone: Backbone,
    group: Group,
    train: Sequence[Example],
    held: Sequence[Example],
    change: Callable[[Tensor], Tensor] = lambda pictures: pictures,
) -> EncodedGroup:
    """Some pictures of a group at the model's resolution; change: of (n, 3, H, W) before it."""

    def latents(examples: Sequence[Example]) -> Tensor:
        loaded = [pictures.load(_path(e), backbone.resolution) for e in examples]
        return backbone.encode_images(change(torch.stack(loaded)))

    return EncodedGroup(group, tuple(train), latents(train), tuple(held), latents(held))


def few(
    backbone: Backbone, groups: StyleGroups, most: int
) -> tuple[Tensor, Conditioning, tuple[str, ...]]:
    """Latents, prompts and names of `most` pictures at most, of as many groups as there are."""
    rounds = itertools.zip_longest(*([(g, e) for e in g.examples] for g in groups))
    chosen = [x for row in rounds for x in row if x is not None][:most]
    loaded = [pictures.load(_path(e), backbone.resolution) for _, e in chosen]
    return (
        backbone.encode_images(torch.stack(loaded)),
        backbone.encode_prompts([e.prompt(g.style) for g, e in chosen]),
        tuple(f"{g.name}/{e.id}" for g, e in chosen),
    )


def _path(example: Example):
    if example.path is None:
        raise ValueError(f"{example.id} has no picture yet; generate the pictures first")
    return example.path


class PromptTable:
    """Encoded prompts, the empty one among them, each encoded once, kept on the CPU."""

    def __init__(self, backbone: Backbone, prompts: Iterable[str]):
        unique = list(dict.fromkeys(("", *prompts)))
        self.conditional = backbone.conditional
        # By length: a long caption leaves the others' numbers as they are, and fills no room.
        self._tables: dict[int, Conditioning] = {}
        self._place: dict[str, tuple[int, int]] = {}
        counts = dict(zip(unique, backbone.chunks(unique), strict=True))
        for count in sorted(set(counts.values())):
            same = [p for p in unique if counts[p] == count]
            self._tables[count] = backbone.encode_prompts(same).to("cpu")
            self._place |= {p: (count, i) for i, p in enumerate(same)}

    def __getitem__(self, prompts: Iterable[str]) -> Conditioning:
        places = [self._place[p] for p in prompts]
        parts, order = [], []
        for count in sorted({c for c, _ in places}):
            order += [i for i, (c, _) in enumerate(places) if c == count]
            parts.append(self._tables[count].take([k for c, k in places if c == count]))
        return Conditioning.cat(parts).take(torch.tensor(order).argsort())
