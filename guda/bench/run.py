"""Run a benchmark: train, retrain without each group, score with every method, compare.

Everything finished lies in `out` and is not computed again: models, counterfactual sets, scores.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import ConfigError
from ..files import slugify
from ..files.temporary import sweep
from ..groups import StyleGroups, pictures
from ..groups.encode import EncodedGroup
from ..settings import digest
from ..steps import Step, Steps, about
from . import agreement
from .baselines import SCORERS, Scores
from .benchmark import Benchmark, Model, Questions, corpus
from .compare import Row, Scored, compare
from .coverage import Coverage
from .keep import kept
from .meter import Cost, metered
from .oracle import Asked, Trained
from .studies import Budget, Screened, budgets, intervals, screening


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run found; `report.py` writes it down."""

    bench: Benchmark
    split: str
    questions: Questions
    logo: np.ndarray  # (S, I, K)
    scored: list[Scored]
    rows: list[Row]
    budgets: list[Budget]
    coverage: list[Coverage]
    screening: list[Screened] = dataclasses.field(default_factory=list)


def run(
    bench: Benchmark, out: Path, split: str = "test", again: Collection[str] = ()
) -> Steps[Result]:
    """The whole benchmark; yields through training, unlearning and scoring.

    again: rows whose scores are made anew, where the others are taken from disk.
    """
    check_rows(bench, again)
    for folder, _, _ in os.walk(out):
        sweep(Path(folder))  # what killed runs left
    yield from about(bench.groups)
    trained = yield from Trained.of(bench, out)
    bench, full = trained.bench, trained.full
    asked = yield from trained.asked(split)
    deltas, cost = yield from asked.logo()
    questions, key, folder = asked.questions, asked.key, asked.folder
    forget(asked, again)
    scored = []
    for name in rows_of(asked):
        made = yield from row(asked, name)
        scored.append(Scored(name, *made, bench.in_nats(bench.scorers[name][1])))
    by_name = {one.method: one.scores for one in scored}
    for name, parts in bench.together.items():
        whole = np.mean([agreement.standardised(by_name[p]) for p in parts], 0)
        scored.append(Scored(name, whole, Cost(), f"from the rows {' and '.join(parts)}"))
    yield Step("compare", 0, 1)
    rows = compare(scored, deltas, questions, cost)
    curve = yield from budgets(bench, full, questions, deltas, key, out, folder)
    covered = yield from intervals(bench, full, questions, key, out, folder)
    screened = []
    if bench.screening is not None:
        direct, unlearned = bench.screening
        screened = screening(by_name[direct], by_name[unlearned], deltas)
    return Result(bench, split, questions, deltas, scored, rows, curve, covered, screened)


def check_rows(bench: Benchmark, names: Collection[str]) -> None:
    """Raises ConfigError for a row that is not there."""
    if unknown := set(names) - set(bench.scorers):
        raise ConfigError(
            f"There is no row {sorted(unknown)[0]!r}; choose from: {', '.join(bench.scorers)}."
        )


def rows_of(asked: Asked) -> list[str]:
    """Names of the rows whose scores can be made."""
    conditional = asked.trained.full.backbone.conditional
    scorers = asked.trained.bench.scorers.items()
    return [n for n, (s, _) in scorers if conditional or not SCORERS[s].needs_prompts]


def place(asked: Asked, name: str) -> tuple[Path, str]:
    """Where a row's scores are kept, and what names them."""
    made_from = asked.trained.bench.made_from(*asked.trained.bench.scorers[name])
    return asked.folder / f"{slugify(name)}.json", digest(asked.key, *made_from)


def row(asked: Asked, name: str) -> Steps[tuple[np.ndarray, Cost, str]]:
    """A row's scores, what they cost and what there is to say of them."""
    trained = asked.trained
    offer = Offer(trained.bench, trained.full, trained.encoded, asked.questions, trained.out)
    work = scores_of(*trained.bench.scorers[name], offer)
    return (yield from kept(*place(asked, name), work))


def forget(asked: Asked, names: Collection[str]) -> None:
    """The scores of these rows are made anew."""
    for name in names:
        place(asked, name)[0].unlink(missing_ok=True)


@dataclasses.dataclass(frozen=True)
class Offer:
    """What a scorer may ask for, by the name that it gives in its record's `needs`."""

    bench: Benchmark
    full: Model
    encoded: Mapping[str, EncodedGroup]
    questions: Questions
    out: Path

    @property
    def style_groups(self) -> StyleGroups:
        return self.bench.groups

    @property
    def prompts(self) -> tuple[str, ...]:
        return self.questions.prompts

    @property
    def pictures(self) -> dict[str, Tensor]:
        """Every training picture and query by its key, (3, H, W)."""
        shown = dict(zip(self.questions.keys, self.questions.pictures, strict=True))
        for name, group in self.encoded.items():
            for example in group.train:
                assert example.path is not None  # the benchmarks' groups are read from folders
                resolution = self.full.backbone.resolution
                shown[f"{name}/{example.id}"] = pictures.load(example.path, resolution)
        return shown


def scores_of(
    scorer: str, settings: Mapping[str, Any], offer: Offer
) -> Steps[tuple[np.ndarray, Cost, str]]:
    """One of `baselines.SCORERS` on the questions, and what it cost."""
    record, backbone = SCORERS[scorer], offer.full.backbone
    known = corpus(backbone, offer.encoded, seed=0)
    query = offer.questions.encoded(backbone)
    with metered(type(backbone.unet)) as cost:
        given = {name: getattr(offer, name) for name in record.needs}
        result = yield from record(**settings, **given)(known, query)
    told = result if isinstance(result, Scores) else Scores(result)
    if not record.counted:
        cost.unet_evaluations = None
    cost.disk_kib = told.disk_kib
    return told.scores, cost, told.remark
