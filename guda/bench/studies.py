"""What estimates are worth: Top-1 by number of evaluations, intervals, and screening."""

from __future__ import annotations

import dataclasses
from functools import cache, partial
from pathlib import Path

import numpy as np

from ..counterfactuals import load_set
from ..diffusion import LoraWeights
from ..scoring.differences import score_queries
from ..scoring.elbo import Query
from ..settings import digest
from ..steps import Steps
from ..variants import SCHEDULES
from . import agreement
from .benchmark import Benchmark, Guda, Model, Questions
from .compare import Figure
from .coverage import Coverage, coverage
from .keep import kept
from .meter import Cost, metered


@dataclasses.dataclass(frozen=True)
class Budget:
    """Agreement with LOGO from that many evaluations per picture and group."""

    schedule: str
    evaluations: int
    top1: Figure


@dataclasses.dataclass(frozen=True)
class Screened:
    """When only the first `unlearned` styles of a direct answer are unlearned for each picture.

    among: how often LOGO's first style is one of them. top1: of the answer from those alone.
    """

    unlearned: int
    among: Figure
    top1: Figure


def screening(direct: np.ndarray, unlearned: np.ndarray, logo: np.ndarray) -> list[Screened]:
    """For every number of styles. direct, unlearned: scores (I, K); logo: (S, I, K)."""
    truth, groups = logo.mean(0), direct.shape[1]
    place = (-direct).argsort(1, kind="stable").argsort(1)
    rows = []
    for n in range(1, groups + 1):
        chosen = place < n
        among = np.take_along_axis(chosen, truth.argmax(1)[:, None], 1)[:, 0].astype(float)
        worst = unlearned.min() - 1.0  # below everything that was unlearned
        top1 = agreement.top1(np.where(chosen, unlearned, worst), truth)
        rows.append(Screened(n, agreement.bootstrap(among), agreement.bootstrap(top1)))
    return rows


def by_schedule(budgets: list[Budget]) -> dict[str, list[Budget]]:
    names = dict.fromkeys(b.schedule for b in budgets)
    return {name: [b for b in budgets if b.schedule == name] for name in names}


def budgets(
    bench: Benchmark,
    full: Model,
    questions: Questions,
    logo: np.ndarray,
    key: str,
    out: Path,
    folder: Path,
) -> Steps[list[Budget]]:
    """Top-1 of the first method by schedule and number of evaluations, on at most 128 questions.

    logo: (S, I, K) deltas of retraining.
    """
    method = next(iter(bench.guda.values()))
    some = slice(None, None, -(-len(questions) // 128))
    loaded = cache(partial(_loaded, full, method, questions, some, out))  # not if all are kept
    rows = []
    for schedule in SCHEDULES:
        for n in bench.budgets:
            config = method.elbo.replace(schedule=schedule, evaluations=n)

            def scores(config=config) -> Steps[tuple[np.ndarray, Cost, str]]:
                loras, query = loaded()
                with metered(type(full.backbone.unet)) as cost:
                    gaps = yield from score_queries(full.backbone, loras, query, config)
                return gaps.contributions.sum(-1), cost, ""

            made_from = digest(key, method.as_key(), config.as_key(), bench.groups.names)
            path = folder / "budgets" / f"{schedule}-{n}.json"
            deltas, *_ = yield from kept(path, made_from, scores())
            top1 = agreement.top1(deltas, logo.mean(0)[some])
            rows.append(Budget(schedule, n, agreement.bootstrap(top1)))
    return rows


def intervals(
    bench: Benchmark, full: Model, questions: Questions, key: str, out: Path, folder: Path
) -> Steps[list[Coverage]]:
    """Coverage of the first method's intervals on some of the questions, by schedule."""
    if not bench.repeats:
        return []
    method = next(iter(bench.guda.values()))
    numbers = (16, 64) if bench.long > 1024 else (32,)
    configs = [
        method.elbo.replace(schedule=schedule, evaluations=n)
        for schedule in SCHEDULES
        for n in numbers
    ]
    some = slice(None, None, max(1, len(questions) // 24))

    def measured() -> Steps[tuple[np.ndarray, Cost, str]]:
        loras, query = _loaded(full, method, questions, some, out)
        with metered(type(full.backbone.unet)) as cost:
            rows = yield from coverage(
                full.backbone, loras, query, configs, repeats=bench.repeats, long=bench.long
            )
        return np.array([[r.covered, r.width, r.error, r.top1] for r in rows]), cost, ""

    made_from = digest(
        key, method.as_key(), [c.as_key() for c in configs], bench.repeats, bench.long
    )
    found, *_ = yield from kept(folder / "coverage.json", made_from, measured())
    return [
        Coverage(c.schedule, c.evaluations, *map(float, row))
        for c, row in zip(configs, found, strict=True)
    ]


def _loaded(
    full: Model, method: Guda, questions: Questions, some: slice, out: Path
) -> tuple[dict[str, LoraWeights], Query]:
    made = load_set(method.folder(out))
    loras = {e.name: made.load(e, full.backbone) for e in made.entries}
    return loras, questions.encoded(full.backbone).part(some)
