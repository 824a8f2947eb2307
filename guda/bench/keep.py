"""What was paid for stays on disk: questions, and scores beside what they cost."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..diffusion.noise import picture_key
from ..errors import GudaError
from ..files import reading, write_bytes, write_text
from ..steps import Steps
from .benchmark import Questions
from .meter import Cost


def kept(
    path: Path, key: str, work: Steps[tuple[np.ndarray, Cost, str]]
) -> Steps[tuple[np.ndarray, Cost, str]]:
    """The scores in `path` if they were made from `key`; else those of `work`, written there."""
    if (known := _read(path, key)) is not None:
        work.close()
        return known
    scores, cost, remark = yield from work
    data = {
        "key": key,
        "remark": remark,
        "cost": dataclasses.asdict(cost),
        "scores": scores.tolist(),
    }
    write_text(path, json.dumps(data))
    return scores, cost, remark


def is_kept(path: Path, key: str) -> bool:
    return _read(path, key) is not None


def _read(path: Path, key: str) -> tuple[np.ndarray, Cost, str] | None:
    """None where there is nothing, or it is damaged or of something else."""
    try:
        data = reading.read_json(path, reading.TABLE)
        if data["key"] != key:
            return None
        return np.array(data["scores"]), Cost(**data["cost"]), data["remark"]
    except (GudaError, ValueError, KeyError, TypeError):
        return None


def kept_questions(path: Path, key: str, work: Steps[Questions]) -> Steps[Questions]:
    """The questions in `path` if they were asked under `key`; else those of `work`, written there.

    Drawn again, on another device or by another version, pictures differ in their last digits, and
    nothing that was scored for them would be known.
    """
    try:
        with safe_open(path, "pt") as file:
            told = file.metadata() or {}
            if told.get("key") == key:
                work.close()
                pictures = file.get_tensor("pictures")
                return Questions(
                    pictures=pictures,
                    prompts=tuple(json.loads(told["prompts"])),
                    keys=tuple(picture_key(p) for p in pictures),
                    kinds=tuple(json.loads(told["kinds"])),
                    named=np.array(json.loads(told["named"])),
                )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        pass  # absent or damaged
    asked = yield from work
    told = {"prompts": asked.prompts, "kinds": asked.kinds, "named": asked.named.tolist()}
    write_bytes(
        path,
        save(
            {"pictures": asked.pictures.float().contiguous()},
            {"key": key, **{name: json.dumps(value) for name, value in told.items()}},
        ),
    )
    return asked
