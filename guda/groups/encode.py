"""Style groups as the UNet sees them: latents and captions, computed once for all groups."""

from __future__ import annotations

from collections.abc import Iterable
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
    backbone: Backbone, groups: StyleGroups, heldout: float, batch: int = 16
) -> Steps[dict[str, EncodedGroup]]:
    """Encode every picture of every group; yields once per batch of pictures."""
    total = sum(len(g.examples) for g in groups)
    encoded: dict[str, EncodedGroup] = {}
    done = 0
    for group in groups:
        train, held = split_heldout(group, heldout)
        parts = []
        for start in range(0, len(group.examples), batch):
            some = (*train, *held)[start : start + batch]
            loaded = [pictures.load(_path(e), backbone.resolution) for e in some]
            parts.append(backbone.encode_images(torch.stack(loaded)))
            done += len(some)
            yield Step("encode", done, total, group.name)
        latents = torch.cat(parts)
        encoded[group.name] = EncodedGroup(
            group, train, latents[: len(train)], held, latents[len(train) :]
        )
    return encoded


def _path(example: Example):
    if example.path is None:
        raise ValueError(f"{example.id} has no picture yet; generate the pictures first")
    return example.path


class PromptTable:
    """Encoded prompts, the empty one among them, each encoded once, kept on the CPU."""

    def __init__(self, backbone: Backbone, prompts: Iterable[str]):
        unique = list(dict.fromkeys(("", *prompts)))
        self._place = {p: i for i, p in enumerate(unique)}
        self.conditional = backbone.conditional
        self._all = backbone.encode_prompts(unique).to("cpu")

    def __getitem__(self, prompts: Iterable[str]) -> Conditioning:
        return self._all.take([self._place[p] for p in prompts])
