"""Training state on disk: parameters, AdamW's moments and the losses so far.

No random state: every step's randomness is a function of its number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .files import write_atomically

Loss = tuple[int, float, float]
"""Step, forget and preserve loss."""


def save(
    path: Path,
    key: str,
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    losses: list[Loss],
) -> None:
    """Write atomically what `restore` needs; `key` names what the training depends on."""
    tensors: dict[str, Tensor] = {}
    for name, p in parameters.items():
        tensors[f"{name}/value"] = p.detach().contiguous()
        for slot, value in optimizer.state[p].items():
            tensors[f"{name}/{slot}"] = torch.as_tensor(value).contiguous()
    metadata = {"key": key, "losses": json.dumps(losses)}
    write_atomically(path, lambda tmp: save_file(tensors, tmp, metadata))


def repetition(path: Path, i: int) -> Path:
    """Where repetition `i` of a job with the checkpoint `path` keeps its own."""
    return path.with_name(f"{i}.{path.name}") if i else path


def repetitions(path: Path) -> list[Path]:
    """Those of `repetition` that are on disk, in any order."""
    return [p for p in (path, *path.parent.glob(f"[0-9]*.{path.name}")) if p.is_file()]


def progress(path: Path, key: str) -> int:
    """Steps that the checkpoint holds; 0 where there is none to continue from."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return len(json.loads(metadata["losses"])) if metadata.get("key") == key else 0
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return 0


def restore(
    path: Path,
    key: str,
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> list[Loss]:
    """Load parameters and optimizer from `path`; returns the losses so far ([] to start anew)."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("key") != key:
                return []
            slots = ("value", "step", "exp_avg", "exp_avg_sq")

            def copy(name: str) -> Tensor:  # else the file stays mapped, and Windows keeps it so
                return file.get_tensor(name).clone()

            kept = {n: {s: copy(f"{n}/{s}") for s in slots} for n in parameters}
        losses = [(int(s), float(f), float(r)) for s, f, r in json.loads(metadata["losses"])]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return []  # absent or damaged
    for name, p in parameters.items():
        p.data.copy_(kept[name].pop("value"))
        optimizer.state[p] = {
            slot: value.to("cpu" if slot == "step" else p.device)
            for slot, value in kept[name].items()
        }
    return losses
