"""Counterfactual sets are made: one group after the other, resumable, beside other runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..budget.rows import Rooms
from ..config import MemoryConfig, UnlearnConfig
from ..diffusion import Backbone
from ..errors import CounterfactualError
from ..files.destination import check_folder, check_text
from ..files.lock import Lock, take
from ..groups import Group, StyleGroups, prompts, split_heldout
from ..groups.encode import EncodedGroup
from ..steps import Heard, Step, Steps, about, warn
from ..unlearning import resume
from ..unlearning.context import check_anchors
from ..unlearning.needs import check_needs
from ..unlearning.train import unlearn_group
from . import rate, sameness
from .held import existing, is_finished, is_read_only, resume_path, state_key
from .load import put_right
from .lora_file import set_damaged_aside
from .making import Left, Making
from .manifest import save_manifest
from .saved import saved
from .set import CounterfactualSet


def recipe_key(
    backbone: Backbone,
    groups: StyleGroups,
    name: str,
    config: UnlearnConfig,
    fingerprint: str | None = None,
) -> str:
    """Names everything that a finished counterfactual depends on, but for `backbone.identity`.

    fingerprint: what its set calls the model's weights, if not as the model itself does.
    """
    overrides = {**backbone.overrides, **prompts.reading(backbone, groups)}
    fingerprint = fingerprint or backbone.fingerprint
    return sameness.key_of(backbone, fingerprint, groups.manifest_hash, name, config, overrides)


def unlearn_set(
    backbone: Backbone,
    groups: StyleGroups,
    config: UnlearnConfig,
    folder: Path,
    names: Sequence[str] | None = None,
    memory: MemoryConfig | None = None,
) -> Steps[CounterfactualSet]:
    """Survey the set and make it: every group (or those in `names`), one after the other."""
    return (yield from survey(backbone, groups, config, folder, names, memory).run())


def survey(
    backbone: Backbone,
    groups: StyleGroups,
    config: UnlearnConfig,
    folder: Path,
    names: Sequence[str] | None = None,
    memory: MemoryConfig | None = None,
) -> SetWork:
    """What a set in `folder` still needs. Raises GudaError for what would be refused on the way."""
    chosen = chosen_groups(groups, names)
    check_needs(backbone, config)
    for group in groups:
        check_text(group.name, "the style's name")
        check_text(group.style, f"the phrase of the style {group.name!a}")
        split_heldout(group, config.heldout)
    held = existing(folder, backbone)
    entries, weights = {e.name: e for e in held.entries}, held.fingerprint
    trials = ()
    if config.lr_probe == "auto":
        key = rate.key_of(backbone, groups, config, weights)
        trials = tuple(rate.trials(folder, key) or rate.told_by(held, groups, config))
        config = rate.settled(config, trials)
    keys = {g.name: recipe_key(backbone, groups, g.name, config, weights) for g in chosen}
    left = []
    for group in chosen:
        key = keys[group.name]
        if not is_finished(folder, entries.get(group.name), key):
            kept = resume_path(folder, group)
            identity = sameness.identity_of(backbone, weights)
            state, paths = state_key(kept, key, identity), resume.repetitions(kept)
            done = sum(min(resume.progress(path, state), config.steps) for path in paths)
            left.append(Left(group, done))
            check_anchors(groups, group, config)
    if left:
        check_folder(folder, "out")
    memory = memory or MemoryConfig()
    told = (backbone, groups, config, folder, memory, chosen, keys, tuple(left), weights)
    return SetWork(*told, trials)


@dataclass(frozen=True)
class SetWork(Making):
    """A set whose making was surveyed: nothing is wrong with it, and `left` of it is to be done."""

    def run(self) -> Steps[CounterfactualSet]:
        """Make what is left.

        What is already there and made from the same model, pictures and recipe is kept; an
        interrupted group continues from its resume file. The manifest is written after every group.
        Another run in the same folder is waited for. Damaged files are set aside, and a step's note
        says so.
        """
        if self.config.lr_probe == "auto":
            return (yield from (yield from self.rated()).run())
        if not self.left and is_read_only(self.folder):
            held = existing(self.folder, self.backbone)
            yield from put_right(held, write=False)
            return self.chosen_of({e.name: e for e in held.entries})
        with (yield from take(self.folder)) as lock:
            made = yield from self._make(lock)
            lock.check()
            for entry in made.entries:
                if not made.path(entry).is_file():
                    raise CounterfactualError(
                        f"The counterfactual {made.path(entry)} was deleted while the run went on; "
                        "run again to make it anew."
                    )
            return made

    def rated(self) -> Steps[SetWork]:
        """With the learning rate that was found, where the recipe asks for one to be found."""
        if self.config.lr_probe == "never":
            return self
        with (yield from take(self.folder)) as lock:
            yield from rate.find(self, lock)
        names, told = [g.name for g in self.chosen], (self.backbone, self.groups, self.config)
        return replace(survey(*told, self.folder, names, self.memory), look=self.look)

    def _make(self, lock: Lock) -> Steps[CounterfactualSet]:
        backbone, config, folder = self.backbone, self.config, lock.folder
        held = existing(folder, backbone)  # others may have written since
        yield from put_right(held)
        entries = {e.name: e for e in held.entries}
        encoded: dict[str, EncodedGroup] | None = None
        rooms: Rooms | None = None
        heard = Heard()
        yield from heard(about(backbone, self.groups))
        for group in self.chosen:
            key, kept = self.keys[group.name], resume_path(folder, group)
            if is_finished(folder, entries.get(group.name), key):
                resume.remove(kept)
                yield Step("unlearn", config.total_steps, config.total_steps, group.name)
                yield from heard(about(entries[group.name]))
                continue
            state = state_key(kept, key, self.identity)
            for text in (
                *(set_damaged_aside(folder / e.file) if (e := entries.get(group.name)) else ()),
                *resume.settle(kept, state),
            ):
                yield warn(text)  # of what was found on disk; nothing that the LoRA has to remember
            if encoded is None:
                encoded = yield from heard(self.encode())
            rooms = rooms or self.rooms
            result = yield from heard(
                unlearn_group(
                    backbone,
                    self.groups,
                    encoded,
                    group.name,
                    config,
                    resume.Place(kept, state),
                    rooms,
                )
            )
            collapse = yield from self.collapse(group, result)
            lock.check()
            entry = saved(self, group, result, heard.texts, collapse)
            entries = {n: e for n, e in entries.items() if e.slug != entry.slug}
            entries[group.name] = entry
            save_manifest(self.set_of(tuple(entries.values())))
            resume.remove(kept)
        return self.chosen_of(entries)


def chosen_groups(groups: StyleGroups, names: Sequence[str] | None) -> tuple[Group, ...]:
    """Those named, or all. Raises GroupsError."""
    return tuple(groups[n] for n in dict.fromkeys(names)) if names else tuple(groups)
