"""Run a benchmark: train, retrain without each group, score with every method, compare.

Everything finished lies in `out` and is not computed again: models, counterfactual sets, scores.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from ..backbone.clip import clip_features
from ..diffusion import Backbone
from ..files import slugify
from ..files.temporary import sweep
from ..groups import StyleGroups, pictures
from ..groups.encode import EncodedGroup, encode_groups
from ..jobs.unlearn import UnlearnRequest, unlearn
from ..scoring.differences import score_queries
from ..settings import digest
from ..steps import Step, Steps
from .baselines import SCORERS
from .benchmark import Benchmark, Method, Model, Questions, corpus
from .compare import Row, Scored, compare
from .coverage import Coverage
from .keep import kept
from .meter import Cost, metered
from .oracle import full_model, logo
from .studies import Budget, budgets, intervals, set_folder

VMAPPED = {"trak", "dtrak", "das", "grad_dot", "instance"}
"""Scorers whose UNet calls hide their batch size from hooks."""
CLIP = ("picture_prototype", "picture_knn")
"""Scorers by CLIP's features; the benchmark gives them `clip`, a folder with its weights."""


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


def run(bench: Benchmark, out: Path, split: str = "test") -> Steps[Result]:
    """The whole benchmark; yields through training, unlearning and scoring."""
    for folder, _, _ in os.walk(out):
        sweep(Path(folder))  # what killed runs left
    empty = bench.fresh(0).backbone
    encoded = yield from encode_groups(empty, bench.groups, heldout=0.0)
    full = yield from full_model(bench, encoded, out)
    questions = yield from bench.ask(full, split)
    key = digest(full.backbone.fingerprint, questions.keys, questions.prompts)
    folder = out / "scores" / split

    deltas, logo_cost = yield from logo(bench, encoded, full, questions, key, out, folder)
    scored = []
    for name, method in bench.methods.items():
        made_from = digest(key, method.as_key(), bench.groups.names)
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
    curve = yield from budgets(bench, full, questions, deltas, key, out, folder)
    covered = yield from intervals(bench, full, questions, key, out, folder)
    return Result(bench, split, questions, deltas, scored, rows, curve, covered)


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
        if scorer in CLIP:
            settings = dict(settings)
            settings["encode"] = clip_features(settings.pop("clip"), full.backbone.device)
            settings["pictures"] = shown(full.backbone, encoded, questions)
        scores = yield from SCORERS[scorer](**settings)(known, query)
    if scorer in VMAPPED:
        cost.unet_evaluations = None
    return scores, cost, ""


def shown(
    backbone: Backbone, encoded: Mapping[str, EncodedGroup], questions: Questions
) -> dict[str, Tensor]:
    """Every training picture and query by its key, (3, H, W)."""
    found = dict(zip(questions.keys, questions.pictures, strict=True))
    for name, group in encoded.items():
        for example in group.train:
            assert example.path is not None  # the benchmarks' groups are read from folders
            found[f"{name}/{example.id}"] = pictures.load(example.path, backbone.resolution)
    return found
