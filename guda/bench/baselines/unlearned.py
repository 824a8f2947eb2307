"""GUDA as the product does it, and the word that a prompt gives away: scorers like the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...groups import StyleGroups
from ...jobs.unlearn import UnlearnRequest, unlearn
from ...scoring.differences import score_queries
from ...scoring.elbo import Query
from ...steps import Step, Steps
from .base import SCORERS, Corpus, Scorer, Scores
from .direct import error_ratios

if TYPE_CHECKING:
    from ..benchmark import Guda


@SCORERS.add(needs=("style_groups", "out"))
def guda(method: Guda, style_groups: StyleGroups, out: Path) -> Scorer:
    """Unlearn every group with one recipe, then score the queries."""

    def score(corpus: Corpus, query: Query) -> Steps[Scores]:
        backbone, groups = corpus.backbone, style_groups
        if method.generated:
            groups = drawn_by_the_model(groups, method.generated)
        request = UnlearnRequest(backbone, groups, method.folder(out), method.recipe)
        made = yield from unlearn(request)
        loras = {e.name: made.load(e, backbone) for e in made.entries}
        gaps = yield from score_queries(backbone, loras, query, method.elbo)
        sizes = [made.path(e).stat().st_size / 1024 for e in made.entries]
        refused = [e.name for e in made.entries if not e.gate.passed]
        remark = f"gate refuses {', '.join(refused)}" if refused else ""
        told = error_ratios(gaps) if method.ratios else gaps.contributions.sum(-1)
        return Scores(told, remark, sum(sizes) / len(sizes))

    return score


@SCORERS.add(needs=("style_groups", "prompts"), needs_prompts=True)
def prompt_word(style_groups: StyleGroups, prompts: Sequence[str]) -> Scorer:
    """1 where the prompt names the style; the rest is random, as it says nothing."""

    def score(corpus: Corpus, query: Query) -> Steps[np.ndarray]:
        yield Step("baseline", 1, 1, "prompt_word")
        named = [[g.style in prompt for g in style_groups] for prompt in prompts]
        rng = np.random.default_rng(0)
        return np.array(named, float) + 0.5 * rng.random((len(prompts), len(style_groups)))

    return score


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
