"""One counterfactual's file: a LoRA that ComfyUI's own "Load LoRA" applies, and what it is of."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..diffusion import LoraWeights
from ..diffusion.lora_keys import to_file_keys
from ..errors import CounterfactualError, DamagedError, first_line
from ..files import reading, sealed, set_aside, tensorfile, write_bytes


def read_file(path: Path) -> tuple[dict, dict[str, str]]:
    """Tensors and metadata of a LoRA file, as they were written. Raises CounterfactualError.

    The tensors are copies: those that map the file would keep Windows from replacing it.
    """
    if not os.path.lexists(path):
        raise CounterfactualError(f"The counterfactual {path} is missing; unlearn the style again.")

    def damaged(reason: object) -> CounterfactualError:
        return CounterfactualError(
            f"The counterfactual {path} is damaged ({reason}); delete it and unlearn the style "
            "again."
        )

    tensorfile.read(path, damaged)
    try:
        return sealed.read(path)
    except (DamagedError, FileNotFoundError) as error:
        raise damaged(error) from None


def noted_identity(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The model's identity that a LoRA file notes; {} where it is of an earlier version."""
    try:
        found = reading.loads(metadata.get("guda.identity", "{}"))
        return found if isinstance(found, dict) else {}
    except ValueError as error:
        raise CounterfactualError(
            f"The counterfactual {path} is damaged ({first_line(error)}); unlearn the style again."
        ) from None


def noted(path: Path) -> dict[str, str]:
    """What a LoRA tells of itself, by its header alone; {} where it cannot be read."""
    try:
        if not path.is_file():
            return {}
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError):
        return {}  # whoever loads it is told


def is_whole(path: Path, key: str) -> bool:
    """Whether `path` is a whole LoRA made from `key`."""
    try:
        return read_file(path)[1].get("guda.key") == key
    except CounterfactualError:
        return False


def set_damaged_aside(path: Path) -> list[str]:
    """Sets the file aside if it is damaged; a sentence that says so, if any."""
    if not os.path.lexists(path):
        return []
    try:
        read_file(path)
    except CounterfactualError:
        aside = set_aside(path).name
        return [f"{path} is damaged and was set aside as {aside}; the style is unlearned anew."]
    return []


def save_file(path: Path, lora: LoraWeights, metadata: Mapping[str, str]) -> None:
    """Write a LoRA with its checksum; the same LoRA gives the same file."""
    _write(path, to_file_keys(lora), metadata)


def note(path: Path, metadata: Mapping[str, str]) -> None:
    """Add to what a LoRA file tells of itself. Raises CounterfactualError or SaveError."""
    tensors, told = read_file(path)
    _write(path, tensors, {**told, **metadata})


def _write(path: Path, tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> None:
    data = _ordered(save(tensors, sealed.seal(tensors, dict(metadata))))
    write_bytes(path, data, make_folder=False)


def _ordered(data: bytes) -> bytes:
    """The same safetensors file with its metadata sorted, which safetensors writes in any order."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]
