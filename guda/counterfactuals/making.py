"""A set that is to be made: of what, how, and what is left of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..budget.rows import Rooms, for_scoring, for_training
from ..config import MemoryConfig, UnlearnConfig
from ..diffusion import Backbone
from ..groups import Group, StyleGroups, prompts
from ..groups.encode import EncodedGroup, encode_groups, few
from ..scoring import explains
from ..scoring.elbo import Query
from ..steps import Steps
from ..unlearning.held import MOST
from ..unlearning.train import Unlearned
from . import rate, sameness
from .collapse import Collapse
from .sampled import Sampled
from .set import CounterfactualSet, Entry


class Left(NamedTuple):
    """A group that is still to be unlearned, and the steps that its resume files hold."""

    group: Group
    done: int


@dataclass(frozen=True)
class Making:
    """A set that is to be made, and `left` of it; with what whoever makes it needs."""

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

    @property
    def rooms(self) -> Rooms:
        return Rooms(
            for_training(self.backbone, self.config, self.memory),
            for_scoring(self.backbone, None, MOST),
        )

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

    def chosen_of(self, entries: Mapping[str, Entry]) -> CounterfactualSet:
        return self.set_of(tuple(entries[g.name] for g in self.chosen))

    def collapse(self, group: Group, made: Unlearned) -> Steps[Collapse | None]:
        """Of pictures in the styles that are kept."""
        return (yield from self.sampled.collapse(self.backbone, self.groups, group.name, made.lora))
