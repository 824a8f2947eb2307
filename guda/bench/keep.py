"""Scores that were paid for stay on disk, beside what they cost."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from ..errors import GudaError
from ..files import reading, write_text
from ..steps import Steps
from .meter import Cost


def kept(
    path: Path, key: str, work: Steps[tuple[np.ndarray, Cost, str]]
) -> Steps[tuple[np.ndarray, Cost, str]]:
    """The scores in `path` if they were made from `key`; else those of `work`, written there."""
    try:
        data = reading.read_json(path, reading.TABLE)
        if data["key"] == key:
            work.close()
            return np.array(data["scores"]), Cost(**data["cost"]), data["remark"]
    except (GudaError, ValueError, KeyError, TypeError):
        pass  # absent or damaged
    scores, cost, remark = yield from work
    data = {
        "key": key,
        "remark": remark,
        "cost": dataclasses.asdict(cost),
        "scores": scores.tolist(),
    }
    write_text(path, json.dumps(data))
    return scores, cost, remark
