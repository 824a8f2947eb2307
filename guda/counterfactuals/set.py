"""A counterfactual set: a folder with one LoRA file per group and a `counterfactuals.json`.

<set>/<group slug>.safetensors        applied by ComfyUI's own "Load LoRA"
<set>/counterfactuals.json            what was made from what, and each gate's figures
<set>/<group slug>.resume             only while a group is being unlearned; see `checkpoints`
<set>/.guda.lock                      only while a run writes to the folder; see `lock`
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save

from ..budget.rows import Fit, for_scoring, for_training
from ..config import MemoryConfig, UnlearnConfig
from ..diffusion import Backbone, LoraWeights
from ..diffusion.identity import differences
from ..diffusion.identity import name as name_of
from ..diffusion.lora_keys import to_file_keys
from ..errors import CounterfactualError, DamagedError, first_line
from ..files import reading, sealed, set_aside, slugify, tensorfile, write_bytes, write_text
from ..files.lock import Lock, take
from ..files.reading import number, shown
from ..groups import Group, StyleGroups, prompts
from ..groups.encode import EncodedGroup, encode_groups, few
from ..scoring import explains
from ..scoring.elbo import Query
from ..settings import digest
from ..steps import Heard, Step, Steps, about, warn
from ..unlearning import Unlearned, resume, unlearn_group
from ..unlearning.gate import MOST, Gate
from ..version import __version__
from . import sameness

MANIFEST = "counterfactuals.json"


@dataclass(frozen=True)
class Entry:
    """One group's line in the manifest."""

    name: str
    slug: str
    style: str
    key: str  # what the file was made from; see `recipe_key`
    gate: Gate
    losses: tuple[tuple[int, float, float], ...]
    warnings: tuple[str, ...] = ()  # of the run that made it

    @property
    def file(self) -> str:
        return f"{self.slug}.safetensors"


@dataclass(frozen=True)
class CounterfactualSet:
    """The counterfactuals in `folder`, all made from the base model `fingerprint`."""

    folder: Path
    base_model: str
    fingerprint: str
    groups_hash: str
    recipe: dict[str, Any]
    entries: tuple[Entry, ...]
    identity: dict[str, Any] = field(default_factory=dict)  # the model's; empty before 0.2.0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(e.name for e in self.entries)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was said when its counterfactuals were made."""
        return tuple(dict.fromkeys(w for e in self.entries for w in e.warnings))

    @property
    def id(self) -> str:
        """Names the contents: changes when any counterfactual does."""
        return digest(self.fingerprint, sorted((e.name, e.key) for e in self.entries))

    def path(self, entry: Entry) -> Path:
        return self.folder / entry.file

    def subset(self, names: Sequence[str]) -> CounterfactualSet:
        """Only the named groups."""
        unknown = [n for n in names if n not in self.names]
        if unknown:
            raise CounterfactualError(
                f"The style {unknown[0]!r} is not in the counterfactual set {self.folder}; it has: "
                f"{', '.join(self.names)}."
            )
        kept = tuple(e for e in self.entries if e.name in names)
        return replace(self, entries=kept)

    def since(self, backbone: Backbone) -> list[str]:
        """What differs between the model that the set was made from and this one, in words."""
        keys = [(e.name, e.key) for e in self.entries]
        return sameness.since(backbone, self.identity, self.groups_hash, self.recipe, keys)

    def verify(self, backbone: Backbone) -> None:
        """Refuse a set of another base model, and counterfactuals that failed their gate."""
        if self.fingerprint != backbone.fingerprint:
            raise CounterfactualError(
                f"The counterfactual set {self.folder} was made from the model "
                f"{self.base_model!r} ({self.fingerprint[:12]}), not from {backbone.name!r} "
                f"({backbone.fingerprint[:12]}). Load that model, or unlearn the styles from this "
                "one."
            )
        if changed := self.since(backbone):
            raise CounterfactualError(
                f"The counterfactual set {self.folder} was made from the model "
                f"{self.base_model!r} with another {_listed(changed)}. Load the model as it was "
                "then, or unlearn the styles from this one into another set."
            )
        for entry in self.entries:
            if not entry.gate.passed:
                raise CounterfactualError(
                    f"The counterfactual {entry.name!r} in {self.folder} failed its gate "
                    f"({entry.gate.reason}), so its scores would mislead. Unlearn it again with "
                    "more steps or another lr, or leave the style out."
                )

    def load(self, entry: Entry, backbone: Backbone) -> LoraWeights:
        """Read one LoRA. Raises CounterfactualError when it is missing, damaged or foreign."""
        path = self.path(entry)
        tensors, metadata = read_file(path)
        if metadata.get("guda.base_fingerprint") != self.fingerprint:
            raise CounterfactualError(
                f"The counterfactual {path} was made from another base model than its set says; "
                "unlearn the style again."
            )
        if metadata.get("guda.key") != entry.key:
            raise CounterfactualError(
                f"The counterfactual {path} was made from other pictures or settings than its set "
                "says, as when two runs share one folder; unlearn the style again, or load the "
                "set again."
            )
        if changed := differences(_noted(path, metadata), backbone.identity):
            raise CounterfactualError(
                f"The counterfactual {path} was made from its model with another "
                f"{_listed(changed)}; unlearn the style again."
            )
        try:
            return backbone.lora_from_file(tensors)
        except CounterfactualError as error:
            raise CounterfactualError(
                f"The counterfactual {path} cannot be used: {error}. Unlearn the style again."
            ) from None


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
            *_damaged_lora(folder, entries.get(group.name)),
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
        _save_manifest(_set(folder, backbone, groups, config, tuple(entries.values())))
        resume.remove(kept)
    return _set(folder, backbone, groups, config, tuple(entries[g.name] for g in chosen))


def load_set(folder: Path) -> CounterfactualSet:
    """Read a finished set. Raises CounterfactualError that names the folder and the remedy."""
    found = read_manifest(folder)
    if found is None:
        raise CounterfactualError(
            f"There is no counterfactual set in {folder} ({MANIFEST} is missing); unlearn the "
            "styles first, or give the folder of a finished set."
        )
    for entry in found.entries:
        if not found.path(entry).is_file():
            raise CounterfactualError(
                f"The counterfactual {found.path(entry)} is missing; unlearn {entry.name!r} again."
            )
    return found


def read_manifest(folder: Path) -> CounterfactualSet | None:
    """The set that `folder`'s manifest describes, None without one. Raises CounterfactualError."""
    path = folder / MANIFEST
    if not os.path.lexists(path):
        return None
    text = reading.read_bytes(path, reading.TABLE, CounterfactualError)
    try:
        data = reading.loads(text)
        entries = tuple(map(_entry, reading.field(data, "groups", list)))
        for names in ([e.name for e in entries], [e.slug for e in entries]):
            if len(set(names)) < len(names):
                raise ValueError("a group stands there twice")
        return CounterfactualSet(
            folder,
            reading.field(data, "base_model", str),
            reading.field(data, "fingerprint", str),
            reading.field(data, "groups_hash", str),
            reading.field(data, "recipe", dict),
            entries,
            reading.field(data, "identity", dict) if "identity" in data else {},
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise CounterfactualError(
            f"{path} cannot be read ({first_line(error)}); delete it and unlearn the styles again."
        ) from None


def _entry(told: Any) -> Entry:
    name, slug, style, key = (reading.field(told, k, str) for k in ("name", "slug", "style", "key"))
    if not name.strip() or slug != slugify(slug):
        raise ValueError(f"a group has the name {shown(name)} and the slug {shown(slug)}")
    losses = tuple(
        (int(number(s, "losses")), number(f, "losses"), number(r, "losses"))
        for s, f, r in reading.field(told, "losses", list)
    )
    warnings = reading.field(told, "warnings", list) if "warnings" in told else []
    if not all(isinstance(w, str) for w in warnings):
        raise ValueError(f'"warnings" is {shown(warnings, 40)}, no list of text')
    return Entry(
        name,
        slug,
        style,
        key,
        Gate.from_dict(reading.field(told, "gate", dict)),
        losses,
        tuple(warnings),
    )


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
            f"another {_listed(changed)}. Load the model as it was then, or choose another name "
            "for the set."
        )
    return found.entries


def _listed(changed: Sequence[str]) -> str:
    return ", ".join(changed[:-1]) + " and " + changed[-1] if len(changed) > 1 else changed[0]


def _noted(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The identity that a LoRA file notes; {} where it is of an earlier version."""
    try:
        found = reading.loads(metadata.get("guda.identity", "{}"))
        return found if isinstance(found, dict) else {}
    except ValueError as error:
        raise CounterfactualError(
            f"The counterfactual {path} is damaged ({first_line(error)}); unlearn the style again."
        ) from None


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
    if entry is None or entry.key != key:
        return False
    try:
        return read_file(folder / entry.file)[1].get("guda.key") == key
    except CounterfactualError:
        return False


def _damaged_lora(folder: Path, entry: Entry | None) -> list[str]:
    """Sets the entry's file aside if it is damaged; a sentence that says so, if any."""
    if entry is None:
        return []
    path = folder / entry.file
    if not os.path.lexists(path):
        return []
    try:
        read_file(path)
    except CounterfactualError:
        aside = set_aside(path).name
        return [f"{path} is damaged and was set aside as {aside}; the style is unlearned anew."]
    return []


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


def _save_manifest(made: CounterfactualSet) -> None:
    data = {
        "version": __version__,
        "base_model": made.base_model,
        "fingerprint": made.fingerprint,
        "identity": made.identity,
        "groups_hash": made.groups_hash,
        "recipe": made.recipe,
        "groups": [
            {
                "name": e.name,
                "slug": e.slug,
                "style": e.style,
                "file": e.file,
                "key": e.key,
                "gate": e.gate.as_dict(),
                "losses": e.losses,
                "warnings": e.warnings,
            }
            for e in made.entries
        ],
    }
    text = json.dumps(data, indent=1, ensure_ascii=False)
    write_text(made.folder / MANIFEST, text, make_folder=False)


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
    tensors = to_file_keys(result.lora)
    data = _ordered(save(tensors, sealed.seal(tensors, metadata)))
    write_bytes(path, data, make_folder=False)


def _ordered(data: bytes) -> bytes:
    """The same safetensors file with its metadata sorted, which safetensors writes in any order."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]
