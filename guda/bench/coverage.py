"""Do the 95 % intervals hold? Scores from few evaluations against those of a long run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import ElboConfig
from ..diffusion import Backbone, LoraWeights
from ..scoring.differences import score_queries
from ..scoring.elbo import Query
from ..scoring.verdict import interval
from ..steps import Steps


@dataclass(frozen=True)
class Coverage:
    """One schedule's intervals. width and error: in units of the deltas' standard deviation."""

    schedule: str
    evaluations: int
    covered: float  # share of (query, group, repetition) whose interval holds the long run's delta
    width: float  # median half width
    error: float  # root mean square difference from the long run
    top1: float  # how often the leader is the long run's


def coverage(
    backbone: Backbone,
    loras: dict[str, LoraWeights],
    query: Query,
    configs: list[ElboConfig],
    *,
    repeats: int,
    long: int,
) -> Steps[list[Coverage]]:
    """Repeat each configuration with `repeats` seeds; compare with `long` evaluations of another.

    The long run's own error is small beside theirs: it has `long` / evaluations times as many.
    """
    reference = ElboConfig(evaluations=long, seed=777_001, batch_size=configs[0].batch_size)
    found = yield from score_queries(backbone, loras, query, reference)
    truth = found.contributions.sum(-1)
    scale = truth.std()
    rows = []
    for config in configs:
        deltas, halves = [], []
        for seed in range(repeats):
            once = yield from score_queries(
                backbone, loras, query, config.replace(seed=777_100 + seed)
            )
            delta, _, half = interval(once.contributions, config.confidence)
            deltas.append(delta)
            halves.append(half)
        delta, half = np.stack(deltas), np.stack(halves)
        rows.append(
            Coverage(
                config.schedule,
                config.evaluations,
                float((np.abs(delta - truth) <= half).mean()),
                float(np.median(half) / scale),
                float(np.sqrt(((delta - truth) ** 2).mean()) / scale),
                float((delta.argmax(-1) == truth.argmax(-1)).mean()),
            )
        )
    return rows
