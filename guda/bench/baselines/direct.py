"""Scorers that ask the full model itself: direct counterfactuals, and what else it answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from ...config import ElboConfig
from ...counterfactuals.direct import DirectCounterfactuals
from ...groups import StyleGroups
from ...scoring import allocation
from ...scoring.differences import Differences
from ...scoring.direct import score_directly
from ...scoring.elbo import Query, noised, weighted_terms
from ...steps import Step, Steps
from .base import SCORERS, Corpus, Scorer

NOISY = 0.7  # the share of the points, from the noisiest on, in which error ratios are told apart


@SCORERS.add(needs=("style_groups", "prompts"), needs_prompts=True)
def direct(
    style_groups: StyleGroups,
    prompts: Sequence[str],
    elbo: ElboConfig,
    statistic: str = "delta",
) -> Scorer:
    """Direct counterfactuals. statistic: "delta", or "ratio" of `error_ratios`."""
    without = DirectCounterfactuals.of(style_groups)

    def score(corpus: Corpus, query: Query) -> Steps[np.ndarray]:
        gaps = yield from score_directly(corpus.backbone, without.prompts(prompts), query, elbo)
        return gaps.contributions.sum(-1) if statistic == "delta" else error_ratios(gaps)

    return score


@SCORERS.add(needs=("style_groups", "prompts"), needs_prompts=True)
def diffusion_classifier(
    style_groups: StyleGroups, prompts: Sequence[str], elbo: ElboConfig
) -> Scorer:
    """Whose prompt explains the picture best? (Li et al. 2023, arXiv 2303.16203)

    The log-odds that the delta would be of, -log(1 - P) with P by the ELBOs under the K prompts.
    """
    without = DirectCounterfactuals.of(style_groups)

    def score(corpus: Corpus, query: Query) -> Steps[np.ndarray]:
        backbone = corpus.backbone
        asked = without.prompts(prompts).in_styles
        points = allocation.points(elbo, backbone.schedule.length)
        explained = np.zeros((len(query), len(without.styles)))
        for k in range(len(without.styles)):
            condition = backbone.encode_prompts([row[k] for row in asked])
            named = Query(query.latents, condition, query.keys)
            work = noised(named, points, backbone.schedule, elbo.seed, elbo.weighting)
            terms = []
            for some in weighted_terms(backbone, work, elbo.batch_size):
                terms.append(some.double().sum((1, 2)).numpy())
                yield Step("baseline", k, len(without.styles), "diffusion_classifier")
            explained[:, k] = -np.concatenate(terms).reshape(len(query), -1).sum(1)
        return lost(explained - logsumexp(explained, 1, keepdims=True))

    return score


def lost(log_probabilities: np.ndarray) -> np.ndarray:
    """(I, K) log P -> -log(1 - P): what a delta would be if nothing but the style mattered."""
    out = np.empty_like(log_probabilities)
    for k in range(out.shape[1]):
        out[:, k] = -logsumexp(np.delete(log_probabilities, k, 1), axis=1)
    return out


def error_ratios(gaps: Differences) -> np.ndarray:
    """(I, K) mean of (L_u - L) / (L_u + L) over the noisiest points; L_u: without the style.

    The statistic of MUCS (arXiv 2605.17938), which no level dominates by its weight.
    """
    noisy = np.argsort(-gaps.points.t.numpy(), kind="stable")
    noisy = noisy[: max(1, round(NOISY * len(noisy)))]
    gap, full = gaps.contributions[:, :, noisy], gaps.full[:, None, noisy]
    return (gap / np.maximum(gap + 2 * full, 1e-30)).mean(-1)
