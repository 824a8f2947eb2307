"""What a set's folder holds before a run: finished counterfactuals and unfinished training."""

from __future__ import annotations

import os
from pathlib import Path

from ..diffusion import Backbone
from ..diffusion.identity import Identity
from ..diffusion.identity import name as name_of
from ..errors import CounterfactualError
from ..groups import Group
from ..unlearning import resume
from . import sameness
from .load import read_set
from .lora_file import is_whole
from .set import CounterfactualSet, Entry


def existing(folder: Path, backbone: Backbone) -> CounterfactualSet:
    """What `folder` already holds, so that it is neither lost nor mixed with another model's."""
    held = read_set(folder)
    if held is None:
        return CounterfactualSet(folder, backbone.name, backbone.fingerprint, "", {}, ())
    if held.fingerprint not in sameness.names(backbone):
        raise CounterfactualError(
            f"{folder} already holds counterfactuals of the model {held.base_model!r} "
            f"({held.fingerprint[:12]}), not of {backbone.name!r} ({backbone.fingerprint[:12]}). "
            "Choose another name for the set."
        )
    if changed := held.since(backbone):
        raise CounterfactualError(
            f"{folder} already holds counterfactuals of the model {held.base_model!r} with "
            f"another {sameness.listed(changed)}. Load the model as it was then, or choose another "
            "name for the set."
        )
    return held


def resume_path(folder: Path, group: Group) -> Path:
    """Where the state of an unfinished group is kept."""
    return folder / f"{group.slug}{resume.ENDING}"


def state_key(path: Path, key: str, identity: Identity) -> str:
    """What names unfinished training: the key with the model's identity.

    The key alone where an earlier version left a state with it.
    """
    earlier = any(resume.progress(p, key) for p in resume.repetitions(path))
    return key if earlier else f"{key}/{name_of(identity)}"


def is_finished(folder: Path, entry: Entry | None, key: str) -> bool:
    """Whether the entry's file is a whole LoRA made from `key`."""
    return entry is not None and entry.key == key and is_whole(folder / entry.file, key)


def is_read_only(folder: Path) -> bool:
    return os.path.isdir(folder) and not os.access(folder, os.W_OK)
