"""Which attention kernel training uses."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def training_attention(device: torch.device) -> AbstractContextManager:
    """Inside, attention is computed the way that trains fastest on `device`.

    On a CPU the fused kernel's backward pass takes longer than everything else in a small UNet.
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
