"""What a benchmark is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..config import ElboConfig, UnlearnConfig
from ..diffusion import Backbone
from ..errors import ConfigError
from ..groups import StyleGroups
from ..groups.encode import EncodedGroup
from ..scoring.elbo import Query
from ..settings import Settings, digest
from ..steps import Steps
from .baselines import Corpus
from .train import Model, TrainConfig

BUDGETS = (8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Questions:
    """I queries: their pictures, where they come from, and the group that a prompt names."""

    pictures: Tensor  # (I, 3, H, W)
    prompts: tuple[str, ...]
    keys: tuple[str, ...]
    kinds: tuple[str, ...]
    named: np.ndarray  # (I,) index of the group that the prompt names, -1 for none

    def __len__(self) -> int:
        return len(self.prompts)

    def encoded(self, backbone: Backbone) -> Query:
        return Query(
            backbone.encode_images(self.pictures), backbone.encode_prompts(self.prompts), self.keys
        )


@dataclass(frozen=True)
class Guda:
    """One way to run GUDA.

    generated: pictures per group that the model draws itself; 0: real. ratios: whether the scores
    are error ratios (`baselines.direct.error_ratios`) in place of deltas.
    """

    recipe: UnlearnConfig
    elbo: ElboConfig
    generated: int = 0
    ratios: bool = False

    def folder(self, out: Path) -> Path:
        """Where its counterfactuals lie; those that differ in scoring share them."""
        return out / "sets" / digest(self.recipe.as_key(), self.generated)[:12]

    def as_key(self) -> dict[str, Any]:
        """What names its scores."""
        return {
            "recipe": self.recipe.as_key(),
            "elbo": self.elbo.as_key(),
            "generated": self.generated,
        } | ({"ratios": True} if self.ratios else {})


@dataclass(frozen=True)
class Base:
    """What every model has learned before the groups, which are none of these."""

    groups: StyleGroups
    train: TrainConfig


@dataclass(frozen=True)
class Benchmark:
    """Data, model and recipes; everything else is the runner's.

    fresh: seed -> an untrained model. ask: (full model, split) -> the questions of the split
    "test", or of "dev", on which recipes were chosen. guda: its ways by display name; baselines:
    names in `baselines.SCORERS` and their settings, by display name.
    """

    name: str
    title: str
    groups: StyleGroups
    fresh: Callable[[int], Model]
    train: TrainConfig
    ask: Callable[[Model, str], Steps[Questions]]
    guda: Mapping[str, Guda]
    baselines: Mapping[str, tuple[str, Mapping[str, Any]]]
    reference: ElboConfig  # how LOGO's differences are estimated
    seeds: tuple[int, ...]  # LOGO's
    budgets: tuple[int, ...] = BUDGETS  # evaluations whose agreement is compared
    together: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # rows made of others
    screening: tuple[str, str] | None = None  # rows: which styles to unlearn, and then the answer
    base: Base | None = None  # None: every model is trained from nothing
    repeats: int = 8  # of the intervals' coverage; 0: it is not measured
    long: int = 2048  # evaluations of the long run that they are held against

    @property
    def scorers(self) -> dict[str, tuple[str, Mapping[str, Any]]]:
        """All that is compared, GUDA first: names in `baselines.SCORERS` and their settings."""
        ours = {name: ("guda", {"method": method}) for name, method in self.guda.items()}
        return {**ours, "the prompt's style word": ("prompt_word", {}), **self.baselines}

    @staticmethod
    def in_nats(settings: Mapping[str, Any]) -> bool:
        """Whether a scorer's scores are deltas of the ELBO: with exact weights, as they are."""
        method = settings.get("method")
        if method is not None:
            return method.elbo.weighting == "kl" and not method.ratios
        elbo = settings.get("elbo")
        return elbo is not None and elbo.weighting == "kl" and "statistic" not in settings

    def made_from(self, scorer: str, settings: Mapping[str, Any]) -> tuple[Any, ...]:
        """What names a scorer's scores, beside the model and the questions."""
        method = settings.get("method")
        if method is not None:
            return method.as_key(), self.groups.names
        told = {n: v.as_key() if isinstance(v, Settings) else v for n, v in settings.items()}
        return scorer, told


def with_clip(bench: Benchmark, folder: Path) -> Benchmark:
    """The benchmark with similarity in the features of the CLIP in `folder` among its baselines."""
    settings = {"clip": str(folder)}
    more = {
        "similarity, CLIP prototype": ("picture_prototype", settings),
        "similarity, CLIP (10-NN)": ("picture_knn", settings),
    }
    return dataclasses.replace(bench, baselines={**bench.baselines, **more})


def with_seeds(bench: Benchmark, count: int) -> Benchmark:
    """The benchmark with so many retrainings of each group. ConfigError: fewer than two."""
    if count < 2:
        raise ConfigError(f"seeds is {count}; give 2 or more, as one is held against the others.")
    return dataclasses.replace(bench, seeds=tuple(range(1, count + 1)))


def corpus(backbone: Backbone, encoded: Mapping[str, EncodedGroup], seed: int) -> Corpus:
    """The training pictures as the baselines take them."""
    groups = {}
    for name, group in encoded.items():
        prompts = [e.prompt(group.group.style) for e in group.train]
        keys = tuple(f"{name}/{e.id}" for e in group.train)
        groups[name] = Query(group.latents, backbone.encode_prompts(prompts), keys)
    return Corpus(backbone, groups, seed)
