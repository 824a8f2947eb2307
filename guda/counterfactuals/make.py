"""Counterfactual sets are made: one group after the other, resumable, beside other runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from ..budget.rows import Rooms, for_scoring, for_training
from ..config import MemoryConfig, UnlearnConfig
from ..diffusion import Backbone
from ..errors import CounterfactualError
from ..files.destination import check_folder, check_text
from ..files.lock import Lock, take
from ..groups import Group, StyleGroups, prompts, split_heldout
from ..groups.encode import EncodedGroup, encode_groups, few
from ..scoring import explains
from ..scoring.elbo import Query
from ..steps import Heard, Step, Steps, about, warn
from ..unlearning import resume
from ..unlearning.context import check_anchors
from ..unlearning.held import MOST
from ..unlearning.needs import check_needs
from ..unlearning.train import Unlearned, unlearn_group
from . import rate, sameness
from .collapse import Collapse
from .held import existing, is_finished, is_read_only, resume_path, state_key
from .load import put_right
from .lora_file import set_damaged_aside
from .manifest import save_manifest
from .sampled import Sampled
from .saved import saved
from .set import CounterfactualSet, Entry


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
        trials = tuple(rate.trials(folder, rate.key_of(backbone, groups, config, weights)))
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


class Left(NamedTuple):
    """A group that is still to be unlearned, and the steps that its resume files hold."""

    group: Group
    done: int


@dataclass(frozen=True)
class SetWork:
    """A set whose making was surveyed: nothing is wrong with it, and `left` of it is to be done."""

    backbone: Backbone
    groups: StyleGroups
    config: UnlearnConfig
    folder: Path
    memory: MemoryConfig
    chosen: tuple[Group, ...]
    keys: Mapping[str, str]  # name -> what its counterfactual is made from; see `recipe_key`
    left: tuple[Left, ...]
    weights: str  # the model's fingerprint, as the set notes it
    trials: tuple[rate.Trial, ...] = ()  # of learning rates
    look: explains.Look = field(default_factory=explains.Look)
    sampled: Sampled = field(default_factory=Sampled)

    @property
    def identity(self) -> dict[str, Any]:
        return sameness.identity_of(self.backbone, self.weights)

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
            return self._chosen({e.name: e for e in held.entries})
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

    @property
    def rooms(self) -> Rooms:
        return Rooms(
            for_training(self.backbone, self.config, self.memory),
            for_scoring(self.backbone, None, MOST),
        )

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
        return self._chosen(entries)

    def encode(self) -> Steps[dict[str, EncodedGroup]]:
        """The pictures as the UNet sees them, after a look at the prompts and at the model."""
        yield from prompts.warnings(self.backbone, prompts.of_groups(self.groups))
        yield from self.look_at_model()
        return (
            yield from encode_groups(
                self.backbone,
                self.groups,
                self.config.heldout,
                resolution=self.config.unlearn_resolution,
            )
        )

    def look_at_model(self) -> Steps[int]:
        """Whether the model explains some of the pictures; see `explains.check`."""

        def some() -> Query:
            return Query(*few(self.backbone, self.groups, explains.MOST))

        return (yield from explains.check(self.backbone, some, self.look))

    def set_of(self, entries: tuple[Entry, ...]) -> CounterfactualSet:
        return CounterfactualSet(
            self.folder,
            self.backbone.name,
            self.weights,
            self.groups.manifest_hash,
            self.config.as_dict(),
            entries,
            self.identity,
            self.trials,
        )

    def _chosen(self, entries: Mapping[str, Entry]) -> CounterfactualSet:
        return self.set_of(tuple(entries[g.name] for g in self.chosen))

    def collapse(self, group: Group, made: Unlearned) -> Steps[Collapse | None]:
        """Of pictures in the styles that are kept."""
        return (yield from self.sampled.collapse(self.backbone, self.groups, group.name, made.lora))


def chosen_groups(groups: StyleGroups, names: Sequence[str] | None) -> tuple[Group, ...]:
    """Those named, or all. Raises GroupsError."""
    return tuple(groups[n] for n in dict.fromkeys(names)) if names else tuple(groups)
