"""Run a benchmark: train, retrain without each group, score with every method, compare.

Everything finished lies in `out` and is not computed again: models, counterfactual sets, scores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..baselines import SCORERS
from ..config import SCHEDULES, digest
from ..counterfactuals import load_set
from ..encoded import EncodedGroup, encode_groups
from ..files import slugify
from ..groups import StyleGroups
from ..pipeline import UnlearnRequest, unlearn
from ..scoring import score_queries
from ..steps import Step, Steps
from .benchmark import Benchmark, Method, Model, Questions, corpus
from .compare import Row, Scored, compare
from .coverage import Coverage, coverage
from .keep import kept
from .meter import Cost, metered
from .oracle import full_model, logo

VMAPPED = {"trak", "dtrak", "das", "grad_dot", "instance"}
"""Scorers whose UNet calls hide their batch size from hooks."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run found; `report.py` writes it down."""

    bench: Benchmark
    split: str
    questions: Questions
    logo: np.ndarray  # (S, I, K)
    scored: list[Scored]
    rows: list[Row]
    coverage: list[Coverage]


def run(bench: Benchmark, out: Path, split: str = "test") -> Steps[Result]:
    """The whole benchmark; yields through training, unlearning and scoring."""
    empty = bench.fresh(0).backbone
    encoded = yield from encode_groups(empty, bench.groups, heldout=0.0)
    full = yield from full_model(bench, encoded, out)
    questions = yield from bench.ask(full, split)
    key = digest(full.backbone.fingerprint, questions.keys, questions.prompts)
    folder = out / "scores" / split

    deltas, logo_cost = yield from logo(bench, encoded, full, questions, key, out, folder)
    scored = []
    for name, method in bench.methods.items():
        made_from = digest(key, dataclasses.asdict(method), bench.groups.names)
        work = guda(bench, full, questions, method, out)
        found = yield from kept(folder / f"{slugify(name)}.json", made_from, work)
        scored.append(Scored(name, *found))
    if full.backbone.conditional:
        scored.append(Scored("the prompt's style word", prompt_word(bench, questions), Cost()))
    for name, (scorer, settings) in bench.baselines.items():
        made_from = digest(key, scorer, settings)
        work = baseline(scorer, settings, full, questions, encoded)
        found = yield from kept(folder / f"{slugify(name)}.json", made_from, work)
        scored.append(Scored(name, *found))
    yield Step("compare", 0, 1)
    rows = compare(scored, deltas, questions, logo_cost)
    covered = yield from intervals(bench, full, questions, key, out, folder)
    return Result(bench, split, questions, deltas, scored, rows, covered)


def intervals(
    bench: Benchmark, full: Model, questions: Questions, key: str, out: Path, folder: Path
) -> Steps[list[Coverage]]:
    """Coverage of the first method's intervals on some of the questions, by schedule."""
    method = next(iter(bench.methods.values()))
    numbers = (16, 64) if bench.long > 1024 else (32,)
    configs = [
        method.elbo.replace(schedule=schedule, evaluations=n)
        for schedule in SCHEDULES
        for n in numbers
    ]

    def measured() -> Steps[tuple[np.ndarray, Cost, str]]:
        made = load_set(set_folder(out, method))
        loras = {e.name: made.load(e, full.backbone) for e in made.entries}
        some = slice(None, None, max(1, len(questions) // 24))
        query = questions.encoded(full.backbone).part(some)
        with metered(type(full.backbone.unet)) as cost:
            rows = yield from coverage(
                full.backbone, loras, query, configs, repeats=bench.repeats, long=bench.long
            )
        return np.array([[r.covered, r.width, r.error, r.top1] for r in rows]), cost, ""

    made_from = digest(
        key, dataclasses.asdict(method), [c.as_dict() for c in configs], bench.repeats, bench.long
    )
    found, *_ = yield from kept(folder / "coverage.json", made_from, measured())
    return [
        Coverage(c.schedule, c.evaluations, *map(float, row))
        for c, row in zip(configs, found, strict=True)
    ]


def set_folder(out: Path, method: Method) -> Path:
    return out / "sets" / digest(method.recipe.as_dict(), method.generated)[:12]


def guda(
    bench: Benchmark, full: Model, questions: Questions, method: Method, out: Path
) -> Steps[tuple[np.ndarray, Cost, str]]:
    """Unlearn every group with one recipe and score the questions, as the product does."""
    backbone, groups = full.backbone, bench.groups
    folder = set_folder(out, method)
    with metered(type(backbone.unet)) as cost:
        if method.generated:
            groups = drawn_by_the_model(groups, method.generated)
        request = UnlearnRequest(backbone, groups, folder, method.recipe)
        made = yield from unlearn(request)
        loras = {e.name: made.load(e, backbone) for e in made.entries}
        query = questions.encoded(backbone)
        found = yield from score_queries(backbone, loras, query, method.elbo)
    sizes = [made.path(e).stat().st_size / 1024 for e in made.entries]
    cost.disk_kib = sum(sizes) / len(sizes)
    refused = [e.name for e in made.entries if not e.gate.passed]
    remark = f"gate refuses {', '.join(refused)}" if refused else ""
    return found.contributions.sum(-1), cost, remark


def prompt_word(bench: Benchmark, questions: Questions) -> np.ndarray:
    """(I, K): 1 where the prompt names the style; the rest is drawn, as it says nothing."""
    named = [[g.style in prompt for g in bench.groups] for prompt in questions.prompts]
    rng = np.random.default_rng(0)
    return np.array(named, float) + 0.5 * rng.random((len(questions), len(bench.groups)))


def drawn_by_the_model(groups: StyleGroups, pictures: int) -> StyleGroups:
    """The same styles and captions without their pictures, `pictures` per group."""
    return StyleGroups(
        tuple(
            dataclasses.replace(
                g,
                examples=tuple(
                    dataclasses.replace(g.examples[i], path=None)
                    for i in np.linspace(0, len(g.examples) - 1, pictures).astype(int)
                ),
            )
            for g in groups
        ),
        "prompts",
    )


def baseline(
    scorer: str,
    settings: Mapping,
    full: Model,
    questions: Questions,
    encoded: Mapping[str, EncodedGroup],
) -> Steps[tuple[np.ndarray, Cost, str]]:
    """One of `baselines.SCORERS` on the same questions."""
    known = corpus(full.backbone, encoded, seed=0)
    query = questions.encoded(full.backbone)
    with metered(type(full.backbone.unet)) as cost:
        scores = yield from SCORERS[scorer](**settings)(known, query)
    if scorer in VMAPPED:
        cost.unet_evaluations = None
    return scores, cost, ""
