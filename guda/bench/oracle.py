"""LOGO: the same model trained again without each group, and what that does to the queries."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config import ElboConfig
from ..diffusion import Backbone
from ..groups import Group
from ..groups.encode import EncodedGroup, encode_groups
from ..jobs.plan import duration
from ..scoring import allocation
from ..scoring.elbo import Points, Query, chunks, noised, weighted_terms
from ..settings import digest
from ..steps import Step, Steps
from .benchmark import Benchmark, Model, Questions
from .keep import kept, kept_questions
from .meter import Cost, metered
from .train import train


def on_base(bench: Benchmark, out: Path) -> Steps[Benchmark]:
    """The benchmark whose fresh models are the base, which is trained here once.

    As in UnlearnCanvas (Zhang et al. 2024), where Stable Diffusion is what learns the styles.
    """
    if bench.base is None:
        return bench
    model = bench.fresh(0)
    encoded = yield from encode_groups(model.backbone, bench.base.groups, heldout=0.0)
    path = out / "models" / "base.safetensors"
    yield from train(model, encoded, None, bench.base.train, 0, path)
    learned = {name: module.state_dict() for name, module in model.modules.items()}

    def fresh(seed: int) -> Model:
        new = bench.fresh(seed)
        for name, module in new.modules.items():
            module.load_state_dict(learned[name])
        new.backbone.refresh()
        return new

    return dataclasses.replace(bench, fresh=fresh)


def full_model(
    bench: Benchmark, encoded: Mapping[str, EncodedGroup], out: Path, seed: int = 0
) -> Steps[Model]:
    """The model trained on every group."""
    model = bench.fresh(seed)
    path = out / "models" / f"full-{seed}.safetensors"
    yield from train(model, encoded, None, bench.train, seed, path)
    return model


@dataclass(frozen=True)
class Trained:
    """A benchmark's full model, in the folder where its questions and scores lie, too."""

    bench: Benchmark  # on its base
    encoded: Mapping[str, EncodedGroup]
    full: Model
    out: Path

    @classmethod
    def of(cls, bench: Benchmark, out: Path) -> Steps[Trained]:
        bench = yield from on_base(bench, out)
        encoded = yield from encode_groups(bench.fresh(0).backbone, bench.groups, heldout=0.0)
        full = yield from full_model(bench, encoded, out)
        return cls(bench, encoded, full, out)

    def asked(self, split: str) -> Steps[Asked]:
        """The questions of the split, some of which the full model draws once."""
        bench, full = self.bench, self.full
        named = digest(full.backbone.fingerprint, bench.name, split)
        path = self.out / "questions" / f"{split}.safetensors"
        questions = yield from kept_questions(path, named, bench.ask(full, split))
        key = digest(full.backbone.fingerprint, questions.keys, questions.prompts)
        return Asked(self, questions, key, self.out / "scores" / split)

    def retrained(self, split: str) -> Steps[Retrained]:
        """The questions and LOGO's answers; what is missing is trained."""
        asked = yield from self.asked(split)
        deltas, cost = yield from asked.logo()
        return Retrained(asked.questions, asked.key, asked.folder, deltas, cost)


@dataclass(frozen=True)
class Asked:
    """key: names the full model and the questions. folder: of what is scored for them."""

    trained: Trained
    questions: Questions
    key: str
    folder: Path

    def place(self, seed: int, group: Group) -> tuple[Path, str]:
        """Where the answers of the model without the group are kept, and what names them."""
        bench = self.trained.bench
        told = (bench.train.as_key(), bench.reference.as_key(), seed, group.name)
        return self.folder / "logo" / f"{group.slug}-{seed}.json", digest(self.key, *told)

    def without(self, seed: int, group: Group) -> Steps[tuple[np.ndarray, Cost, str]]:
        """The (I,) ELBO of the model that is trained again without the group, and what it cost."""
        return (yield from kept(*self.place(seed, group), self._retrained(seed, group)))

    def _retrained(self, seed: int, group: Group) -> Steps[tuple[np.ndarray, Cost, str]]:
        bench, trained = self.trained.bench, self.trained
        model = bench.fresh(seed)
        path = trained.out / "models" / f"without-{group.slug}-{seed}.safetensors"
        with metered(type(model.backbone.unet)) as cost:
            yield from train(model, trained.encoded, group.name, bench.train, seed, path)
            own = yield from self._elbo(model)
        return own, cost, ""

    def _elbo(self, model: Model) -> Steps[np.ndarray]:
        reference = self.trained.bench.reference
        points = allocation.points(reference, model.backbone.schedule.length)
        return (yield from elbo(model.backbone, self.questions, points, reference))

    def logo(self) -> Steps[tuple[np.ndarray, Cost]]:
        """ELBO(full) - ELBO(without the group), (seeds, I, K) in nats; and what it cost."""
        bench = self.trained.bench
        with_group = yield from self._elbo(self.trained.full)
        deltas = np.zeros((len(bench.seeds), len(self.questions), len(bench.groups)))
        total, fresh_seconds = Cost(), []
        for s, seed in enumerate(bench.seeds):
            for k, group in enumerate(bench.groups):
                at, models = s * len(bench.groups) + k, bench.groups.names
                left = (len(bench.seeds) * len(models) - at) * np.mean(fresh_seconds or [0.0])
                eta = f", about {duration(float(left))} left" if fresh_seconds else ""
                yield Step("LOGO", at, deltas[:, 0].size, f"without {group.name}, seed {seed}{eta}")
                started = time.monotonic()
                without, cost, _ = yield from self.without(seed, group)
                deltas[s, :, k] = with_group - without
                if time.monotonic() - started > 1:  # else it was there
                    fresh_seconds.append(time.monotonic() - started)
                total = Cost(
                    total.seconds + cost.seconds,
                    (total.unet_evaluations or 0) + (cost.unet_evaluations or 0),
                    max(total.peak_mib or 0, cost.peak_mib or 0) or None,
                )
        return deltas, total


@dataclass(frozen=True)
class Retrained:
    """key: names the full model and the questions. folder: of what is scored for them."""

    questions: Questions
    key: str
    folder: Path
    deltas: np.ndarray  # (S, I, K), see `Asked.logo`
    cost: Cost


def elbo(
    backbone: Backbone, questions: Questions, points: Points, config: ElboConfig
) -> Steps[np.ndarray]:
    """(I,) float64: the ELBO without its constant terms, each model with its own text encoder."""
    query: Query = questions.encoded(backbone)
    out = np.zeros(len(query))
    for rows in chunks(len(query), len(points), query.latents[0].numel()):
        work = noised(query.part(rows), points, backbone.schedule, config.seed, config.weighting)
        sums = []
        for terms in weighted_terms(backbone, work, config.batch_size):
            sums.append(terms.double().sum((1, 2)).numpy())
            yield Step("LOGO", rows.start, len(query))
        out[rows] = -np.concatenate(sums).reshape(-1, len(points)).sum(1)
    return out
