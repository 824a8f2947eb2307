"""Which attention kernel training uses."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

MOST_LOCATIONS = 32 * 32


def training_attention(device: torch.device, locations: int = 0) -> AbstractContextManager:
    """Inside, attention is computed the way that trains fastest on `device`.

    On a CPU the fused kernel's backward pass takes longer than everything else in a small UNet.
    But the other kernel keeps a number for every pair of `locations`: at 64 x 64 latents half a
    gigabyte per picture and layer, so from 32 x 32 on the fused one is taken all the same.
    """
    small = locations <= MOST_LOCATIONS
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" and small else nullcontext()
