"""safetensors files that know their contents: a digest of tensors and metadata in the metadata.

safetensors itself checks the layout of a file only; a flipped bit in a tensor or a name, or a half
of zeros, loads like any other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import DamagedError

DIGEST = "guda.digest"


def seal(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata to write with `tensors`, with their digest."""
    return {**metadata, DIGEST: _digest(_of_tensors(tensors), metadata)}


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata, without the digest, which has to fit; earlier files have none.

    The tensors are copies: those that map the file would keep Windows from replacing it. Raises
    FileNotFoundError, and DamagedError for whatever else is wrong, values that are not finite among
    it.
    """
    if path.exists() and not path.is_file():
        raise DamagedError("it is no regular file")
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            names = file.keys()
            tensors = {name: file.get_tensor(name).clone() for name in names}
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, AttributeError) as error:
        raise DamagedError(str(error)) from None
    digest = metadata.pop(DIGEST, None)
    if not _fits(digest, tensors, metadata):
        raise DamagedError("its contents do not fit its checksum")
    for name, value in tensors.items():
        if not finite(value):
            raise DamagedError(f"its entry {name} holds values that are not finite")
    return tensors, metadata


def finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())


def _fits(digest: str | None, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bool:
    if digest is not None:
        return digest == _digest(_of_tensors(tensors), metadata)
    # A file without a digest is an earlier one, unless the damage is in the digest's own name.
    suspects = {k: v for k, v in metadata.items() if len(v) == 64 and len(k) == len(DIGEST)}
    if not suspects:
        return True
    contents = _of_tensors(tensors)
    return not any(
        value == _digest(contents, {k: v for k, v in metadata.items() if k != key})
        for key, value in suspects.items()
    )


def _digest(contents: str, metadata: Mapping[str, str]) -> str:
    text = json.dumps([contents, sorted(metadata.items())])
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


def _of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Of names, formats, shapes and every byte, in the order of the names."""
    h = hashlib.blake2b(digest_size=32)
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        h.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        h.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return h.hexdigest()
