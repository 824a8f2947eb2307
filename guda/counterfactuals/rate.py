"""The learning rate of a set, where its recipe leaves it to be found: kept beside the LoRAs.

<set>/learning_rate.json    the trials so far, and what they depend on
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import UnlearnConfig
from ..diffusion import Backbone
from ..errors import CounterfactualError, GudaError
from ..files import write_text
from ..files.lock import Lock
from ..files.reading import field, read_json
from ..groups import StyleGroups, prompts
from ..steps import Steps
from ..unlearning import rates
from ..unlearning.rates import Trial
from . import sameness

if TYPE_CHECKING:
    from .making import Making
    from .set import CounterfactualSet

FILE = "learning_rate.json"


def key_of(backbone: Backbone, groups: StyleGroups, config: UnlearnConfig, weights: str) -> str:
    """Names everything that the trials depend on. weights: as the set calls the model's."""
    told = {**backbone.overrides, **prompts.reading(backbone, groups)}
    told |= {"identity": sameness.identity_of(backbone, weights)}
    own = rates.recipe(config)
    return sameness.key_of(backbone, weights, groups.manifest_hash, "", own, told)


def trials(folder: Path, key: str) -> list[Trial]:
    """Those that are done; none where the file is of other things, or cannot be read."""
    noted, done = _file(folder)
    return done if noted == key else []


def kept(folder: Path, lr: object) -> list[Trial]:
    """Those in the folder's file where they found this rate, whatever they depend on."""
    _, done = _file(folder)
    return done if done and rates.best(done).lr == lr else []


def _file(folder: Path) -> tuple[str, list[Trial]]:
    """What the trials depend on, and these."""
    try:
        told = read_json(folder / FILE, kind=CounterfactualError)
        return told["key"], list(map(Trial.read, field(told, "trials", list)))
    except (CounterfactualError, ValueError, KeyError, TypeError):
        return "", []


def told_by(made: CounterfactualSet, groups: StyleGroups, config: UnlearnConfig) -> list[Trial]:
    """Those that a set of this model tells, where its last run would have made the same."""
    if not made.trials or made.groups_hash != groups.manifest_hash:
        return []
    try:
        then = UnlearnConfig(**made.recipe).replace(lr=made.trials[0].lr, lr_probe="auto")
    except (GudaError, TypeError, ValueError):
        return []
    same = (rates.recipe(x).replace(checkpoint_every=1).as_key() for x in (then, config))
    return list(made.trials) if next(same) == next(same) else []


def keep(lock: Lock, key: str, done: Sequence[Trial]) -> None:
    """Write them into the folder that is locked. Raises SaveError."""
    lock.check()
    rows = [t.as_dict() for t in done]
    write_text(lock.folder / FILE, json.dumps({"key": key, "trials": rows}, indent=1))


def find(work: Making, lock: Lock) -> Steps[float]:
    """Make the trials that are missing, and keep each."""
    backbone, groups, config = work.backbone, work.groups, work.config
    key = key_of(backbone, groups, config, work.weights)
    done = trials(lock.folder, key)  # others may have written since the survey
    encoded = yield from work.encode()
    told = (backbone, groups, encoded, config, done, work.rooms)
    return (yield from rates.find(*told, lambda trials: keep(lock, key, trials)))


def settled(config: UnlearnConfig, done: Sequence[Trial]) -> UnlearnConfig:
    """The recipe with the rate that was found; as it was where trials are missing."""
    if config.lr_probe == "never" or rates.further(config.lr, done) is not None:
        return config
    return config.replace(lr=rates.best(done).lr, lr_probe="never")


def as_dict(done: Sequence[Trial]) -> dict[str, Any]:
    """For the manifest."""
    return {"lr": rates.best(done).lr, "trials": [t.as_dict() for t in done]}


def read(told: Mapping[str, Any]) -> tuple[Trial, ...]:
    """What `as_dict` gave. Raises ValueError."""
    return tuple(map(Trial.read, field(told, "trials", list)))
