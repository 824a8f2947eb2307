"""Gradient checkpointing (Chen et al. 2016) of a UNet's blocks, whatever the diffusers version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

BLOCKS = {"ResnetBlock2D", "BasicTransformerBlock", "AttnBlock"}  # class names
_ALONE = {"Attention"}  # outside of a transformer block


@contextmanager
def recomputing(
    unet: nn.Module, around: Callable[[], AbstractContextManager] = nullcontext
) -> Iterator[None]:
    """Inside, only the blocks' inputs are kept for the backward pass, which runs them again.

    around: entered whenever a block runs, in the backward pass too.
    """
    blocks: list[nn.Module] = []
    try:
        for name, module in unet.named_modules():
            kind = type(module).__name__
            alone = kind in _ALONE and "transformer_blocks" not in name
            if kind in BLOCKS or alone:
                module.forward = _again(module.forward, around)
                blocks.append(module)
        yield
    finally:
        for module in blocks:
            del module.forward  # the class's own shows again


def _again(forward: Callable, around: Callable[[], AbstractContextManager]) -> Callable:
    def inner(*args, **kwargs):
        with around():
            return forward(*args, **kwargs)

    def run(*args, **kwargs):
        if not torch.is_grad_enabled():
            return inner(*args, **kwargs)
        return checkpoint(inner, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return run
