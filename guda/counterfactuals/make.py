"""Counterfactual sets are made: one group after the other, resumable, beside other runs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..budget.rows import Fit, for_scoring, for_training
from ..config import MemoryConfig, UnlearnConfig
from ..diffusion import Backbone
from ..diffusion.identity import name as name_of
from ..errors import CounterfactualError
from ..files.lock import Lock, take
from ..groups import Group, StyleGroups, prompts
from ..groups.encode import EncodedGroup, encode_groups, few
from ..scoring import explains
from ..scoring.elbo import Query
from ..steps import Heard, Step, Steps, about, warn
from ..unlearning import resume
from ..unlearning.gate import MOST
from ..unlearning.train import Unlearned, unlearn_group
from ..version import __version__
from . import sameness
from .lora_file import is_whole, save_file, set_damaged_aside
from .manifest import read_manifest, save_manifest
from .set import CounterfactualSet, Entry


def recipe_key(backbone: Backbone, groups: StyleGroups, name: str, config: UnlearnConfig) -> str:
    """Names everything that a finished counterfactual depends on, but for `backbone.identity`."""
    overrides = {**backbone.overrides, **prompts.reading(backbone, groups)}
    return sameness.key_of(backbone, groups.manifest_hash, name, config, overrides)


def unlearn_set(
    backbone: Backbone,
    groups: StyleGroups,
    config: UnlearnConfig,
    folder: Path,
    names: Sequence[str] | None = None,
    memory: MemoryConfig | None = None,
) -> Steps[CounterfactualSet]:
    """Unlearn every group (or those in `names`) into `folder`, one after the other.

    What is already there and made from the same model, pictures and recipe is kept; an interrupted
    group continues from its checkpoint. The manifest is written after every group. Another run in
    the same folder is waited for. Damaged files are set aside, and a step's note says so.
    """
    chosen = chosen_groups(groups, names)
    entries = {e.name: e for e in existing(folder, backbone)}
    keys = {g.name: recipe_key(backbone, groups, g.name, config) for g in chosen}
    if _is_read_only(folder) and all(
        _is_finished(folder, entries.get(name), key) for name, key in keys.items()
    ):
        return _set(folder, backbone, groups, config, tuple(entries[g.name] for g in chosen))
    with (yield from take(folder)) as lock:
        made = yield from _unlearn_all(
            backbone, groups, config, lock, chosen, keys, memory or MemoryConfig()
        )
        lock.check()
        for entry in made.entries:
            if not made.path(entry).is_file():
                raise CounterfactualError(
                    f"The counterfactual {made.path(entry)} was deleted while the run went on; run "
                    "again to make it anew."
                )
        return made


def _unlearn_all(
    backbone: Backbone,
    groups: StyleGroups,
    config: UnlearnConfig,
    lock: Lock,
    chosen: Sequence[Group],
    keys: Mapping[str, str],
    memory: MemoryConfig,
) -> Steps[CounterfactualSet]:
    folder = lock.folder
    entries = {e.name: e for e in existing(folder, backbone)}  # others may have written since
    encoded: dict[str, EncodedGroup] | None = None
    fit: Fit | None = None
    heard = Heard()
    yield from heard(about(backbone, groups))
    for group in chosen:
        key, kept = keys[group.name], checkpoint_path(folder, group)
        if _is_finished(folder, entries.get(group.name), key):
            resume.remove(kept)
            yield Step("unlearn", config.total_steps, config.total_steps, group.name)
            yield from heard(about(entries[group.name]))
            continue
        state = _state_key(kept, key, backbone)
        for text in (
            *(set_damaged_aside(folder / e.file) if (e := entries.get(group.name)) else ()),
            *resume.settle(kept, state),
        ):
            yield warn(text)  # of what was found on disk; nothing that the LoRA has to remember
        if encoded is None:
            yield from heard(prompts.warnings(backbone, prompts.of_groups(groups)))
            if some := few(backbone, groups, explains.MOST):
                yield from heard(explains.check(backbone, Query(*some)))
            encoded = yield from heard(encode_groups(backbone, groups, config.heldout))
        if fit is None:
            fit = for_training(backbone, config, memory)
            fit.gate = for_scoring(backbone, None, MOST)
        result = yield from heard(
            unlearn_group(backbone, groups, encoded, group.name, config, kept, state, fit)
        )
        lock.check()
        told = (group.name, group.slug, group.style, key, result.gate, result.losses)
        entry = Entry(*told, heard.texts)
        _save_lora(folder / entry.file, result, group, key, backbone, groups, config)
        entries = {n: e for n, e in entries.items() if e.slug != entry.slug} | {group.name: entry}
        save_manifest(_set(folder, backbone, groups, config, tuple(entries.values())))
        resume.remove(kept)
    return _set(folder, backbone, groups, config, tuple(entries[g.name] for g in chosen))


def existing(folder: Path, backbone: Backbone) -> tuple[Entry, ...]:
    """What `folder` already holds, so that it is neither lost nor mixed with another model's."""
    found = read_manifest(folder)
    if found is None:
        return ()
    if found.fingerprint != backbone.fingerprint:
        raise CounterfactualError(
            f"{folder} already holds counterfactuals of the model {found.base_model!r} "
            f"({found.fingerprint[:12]}), not of {backbone.name!r} ({backbone.fingerprint[:12]}). "
            "Choose another name for the set."
        )
    if changed := found.since(backbone):
        raise CounterfactualError(
            f"{folder} already holds counterfactuals of the model {found.base_model!r} with "
            f"another {sameness.listed(changed)}. Load the model as it was then, or choose another "
            "name for the set."
        )
    return found.entries


def checkpoint_path(folder: Path, group: Group) -> Path:
    """Where the state of an unfinished group is kept."""
    return folder / f"{group.slug}{resume.ENDING}"


def _state_key(path: Path, key: str, backbone: Backbone) -> str:
    """What names unfinished training: the key with the model's identity.

    The key alone where an earlier version left a state with it.
    """
    earlier = any(resume.progress(p, key) for p in resume.repetitions(path))
    return key if earlier else f"{key}/{name_of(backbone.identity)}"


def unfinished(
    backbone: Backbone,
    groups: StyleGroups,
    config: UnlearnConfig,
    folder: Path,
    names: Sequence[str] | None = None,
) -> list[tuple[Group, int]]:
    """What `unlearn_set` would still have to do: each group, and the steps its checkpoint holds."""
    entries = {e.name: e for e in existing(folder, backbone)}
    left = []
    for group in chosen_groups(groups, names):
        key = recipe_key(backbone, groups, group.name, config)
        if not _is_finished(folder, entries.get(group.name), key):
            kept = checkpoint_path(folder, group)
            state = _state_key(kept, key, backbone)
            paths = resume.repetitions(kept)
            done = sum(min(resume.progress(path, state), config.steps) for path in paths)
            left.append((group, done))
    return left


def chosen_groups(groups: StyleGroups, names: Sequence[str] | None) -> list[Group]:
    """Those named, or all. Raises GroupsError."""
    return [groups[n] for n in dict.fromkeys(names)] if names else list(groups)


def _is_finished(folder: Path, entry: Entry | None, key: str) -> bool:
    """Whether the entry's file is a whole LoRA made from `key`."""
    return entry is not None and entry.key == key and is_whole(folder / entry.file, key)


def _is_read_only(folder: Path) -> bool:
    return folder.is_dir() and not os.access(folder, os.W_OK)


def _set(
    folder: Path,
    backbone: Backbone,
    groups: StyleGroups,
    config: UnlearnConfig,
    entries: tuple[Entry, ...],
) -> CounterfactualSet:
    return CounterfactualSet(
        folder,
        backbone.name,
        backbone.fingerprint,
        groups.manifest_hash,
        config.as_dict(),
        entries,
        dict(backbone.identity),
    )


def _save_lora(
    path: Path,
    result: Unlearned,
    group: Group,
    key: str,
    backbone: Backbone,
    groups: StyleGroups,
    config: UnlearnConfig,
) -> None:
    metadata = {
        "modelspec.title": f"without {group.name}",
        "modelspec.description": f"GUDA counterfactual: {backbone.name} without {group.name}",
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(config.rank * config.repeats),
        "ss_network_alpha": str(config.lora_alpha),
        "guda.version": __version__,
        "guda.group": group.name,
        "guda.style": group.style,
        "guda.base_model": backbone.name,
        "guda.base_fingerprint": backbone.fingerprint,
        "guda.identity": json.dumps(backbone.identity, ensure_ascii=False),
        "guda.groups_hash": groups.manifest_hash,
        "guda.key": key,
        "guda.recipe": json.dumps(config.as_dict()),
        "guda.losses": json.dumps(result.losses),
        "guda.gate": json.dumps(result.gate.as_dict()),
    }
    save_file(path, result.lora, metadata)
