"""Where a LoRA begins: the words of forget prompts led to their anchors' in closed form.

What cross-attention reads of a prompt, its keys and values, is linear in the tokens c. One map of
the tokens

D = argmin mean_f ||c_f + D c_f - c_anchor||^2 + KEPT (mean_r + mean_s) ||D c||^2 + ridge ||D||^2

leads those of the forget prompts (f) to the mean of their anchors', and leaves those of retain
prompts (r) and of prompts without a style (s) where they are. W + W D in place of W does that in
every layer, as Unified Concept Editing does (Gandikota et al. 2024), and takes no evaluation of the
UNet. What a style does to answers where it is not named is left to training.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..diffusion import Backbone, TextEdit
from ..groups import Example
from ..groups.encode import PromptTable
from .batches import Batches
from .target import anchors_of

CONTENTS, CAPTIONS = 64, 320
"""Forget prompts that are led, and retain prompts that are kept, at most."""
KEPT, RIDGE = 0.1, 1e-3
"""Weight of what is kept, and of the ridge, as a share of the mean token's square."""


def text_edit(backbone: Backbone, batches: Batches, rank: int) -> TextEdit:
    """The map of the best of its `rank`, in the metric of the tokens it was made from."""
    own = batches.encoded[batches.group]
    examples = distinct(own.train, CONTENTS)
    anchors = [anchors_of(batches, e) for e in examples]
    forget = [e.prompt(own.group.style) for e in examples]
    others = batches.anchors.others
    each = max(1, CAPTIONS // len(others))
    retain = [
        e.prompt(other.style) for other in others for e in batches.encoded[other.name].train[:each]
    ]
    silent = ["", *(e.styleless() for e in examples)]
    every = (*forget, *retain, *silent, *(p for counts in anchors for p in counts))
    table = PromptTable(backbone, every)

    def tokens(prompt: str) -> Tensor:
        return table[[prompt]].embeds[0].double()

    width = tokens("").shape[-1]
    square, cross = (torch.zeros(width, width, dtype=torch.float64) for _ in range(2))
    led = 0
    for prompt, counts in zip(forget, anchors, strict=True):
        words, towards = tokens(prompt), [tokens(p) for p in counts]
        n = min(len(words), *map(len, towards))  # the longest are read in several parts
        words, total = words[:n], sum(counts.values())
        mean = sum(a[:n] * (k / total) for a, k in zip(towards, counts.values(), strict=True))
        square += words.T @ words
        cross += (mean - words).T @ words
        led += n
    kept = _second_moment(map(tokens, retain)) + _second_moment(map(tokens, silent))
    square = square / led + KEPT * kept
    square += RIDGE * square.diagonal().mean() * torch.eye(width, dtype=torch.float64)
    lower = torch.linalg.cholesky(square)
    change = torch.cholesky_solve((cross / led).T, lower).T
    metric = change @ lower
    _, directions = torch.linalg.eigh(metric @ metric.T)
    up = directions[:, -rank:]
    return TextEdit(up.float().contiguous(), (up.T @ change).float().contiguous())


def distinct(examples: Iterable[Example], most: int) -> list[Example]:
    """One of every content, `most` at most."""
    return list({e.content: e for e in reversed(list(examples))}.values())[::-1][:most]


def _second_moment(rows: Iterable[Tensor]) -> Tensor:
    """(width, width): mean of c c^T over all tokens c of (tokens, width) matrices."""
    total, count = 0, 0
    for row in rows:
        total, count = total + row.T @ row, count + len(row)
    return torch.as_tensor(total / count)
