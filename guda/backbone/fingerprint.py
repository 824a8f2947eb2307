"""A name for a model's weights, whatever file and version of transformers they come from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping

import torch
from torch import nn

_ENCODER = re.compile(r"(?P<number>(\d+\.)?)(text_model\.)?(?P<rest>.*)")


@torch.no_grad()
def fingerprints(modules: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """Hashes over every tensor's name, shape and up to 64 evenly spaced values.

    Values are rounded to fp16, so that one checkpoint loaded in fp16 or fp32 has one name. Versions
    of transformers name a text encoder's tensors in two ways; the first hash is that of the names
    without `text_model.`, a further one that of those with it, where they differ.
    """
    tensors: dict[tuple[str, str], bytes] = {}
    for part, module in modules.items():
        for name, value in module.state_dict().items():
            flat = value.detach().flatten()
            picked = flat[:: max(1, -(-flat.numel() // 64))].to("cpu", torch.float32)
            shape = f"{tuple(value.shape)}".encode()
            tensors[part, name] = shape + picked.half().numpy().tobytes()
    projected = {
        number for part, name in tensors for number, rest in [_split(name)] if _is_text(part, rest)
    }

    def bare(name: str) -> str:
        number, rest = _split(name)
        return name if number in projected else number + rest

    def wrapped(name: str) -> str:
        number, rest = _split(name)
        return name if number in projected else f"{number}text_model.{rest}"

    return tuple(dict.fromkeys(_hash(tensors, rename) for rename in (bare, wrapped)))


def fingerprint(modules: Mapping[str, nn.Module]) -> str:
    return fingerprints(modules)[0]


def _hash(tensors: Mapping[tuple[str, str], bytes], rename: Callable[[str], str]) -> str:
    h = hashlib.blake2b(digest_size=16)
    named = {
        (part, rename(name) if part == "text_encoder" else name): value
        for (part, name), value in tensors.items()
    }
    for (part, name), value in sorted(named.items()):
        h.update(f"{part}.{name}".encode())
        h.update(value)
    return h.hexdigest()


def _split(name: str) -> tuple[str, str]:
    """The encoder's number with its dot, where there are several, and the name inside of it."""
    read = _ENCODER.fullmatch(name)
    return (read["number"], read["rest"]) if read else ("", name)


def _is_text(part: str, rest: str) -> bool:
    """Of an encoder with a projection, which every version wraps."""
    return part == "text_encoder" and rest == "text_projection.weight"
