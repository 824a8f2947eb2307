"""Noise as a function of (seed, picture, timestep, index), never of batch size or call order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def seed_of(*parts: object) -> int:
    """A 63-bit seed from any printable parts, the same on every platform."""
    raw = hashlib.blake2b("\x1f".join(map(str, parts)).encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(raw, "little") >> 1


def generator(*parts: object) -> torch.Generator:
    """A CPU generator seeded by `parts`."""
    return torch.Generator().manual_seed(seed_of(*parts))


def standard_normal(seed: int, picture: str, t: int, index: int, shape: Sequence[int]) -> Tensor:
    """Standard normal noise (c, h, w), float32 on the CPU, for one picture, timestep and index."""
    return torch.randn(tuple(shape), generator=generator("noise", seed, picture, t, index))


def picture_key(pixels: Tensor) -> str:
    """Names a picture by its content, so that its noise does not depend on its place in a batch."""
    data = pixels.detach().to("cpu", torch.float32).contiguous()
    head = f"{tuple(data.shape)}".encode()
    return hashlib.blake2b(head + data.numpy().tobytes(), digest_size=16).hexdigest()
