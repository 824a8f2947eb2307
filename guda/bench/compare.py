"""Agreement of every method with LOGO, with intervals, and how well LOGO agrees with itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import agreement, truth
from .benchmark import Questions
from .meter import Cost
from .truth import Figure, Size

CEILING = "LOGO, another seed"


@dataclass(frozen=True)
class Scored:
    """One method's scores (I, K), what they cost, and a remark for the table."""

    method: str
    scores: np.ndarray
    cost: Cost
    remark: str = ""
    nats: bool = False  # whether the scores are deltas of the ELBO, in nats


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    method: str
    figures: dict[str, Figure]
    by_kind: dict[str, Figure]  # Top-1 of each kind of query
    others: Figure  # Spearman over the groups that no prompt names
    ceiling_share: Figure  # Top-1 divided by the ceiling's, both against the same seeds
    cost: Cost
    remark: str = ""
    lead: Figure | None = field(default=None)  # Top-1 of the first row minus this one's, paired
    truth: Figure | None = None  # Pearson with the truth behind the seeds, see `truth`
    size: Size | None = None  # of scores in nats


def compare(
    scored: list[Scored], logo: np.ndarray, questions: Questions, logo_cost: Cost
) -> list[Row]:
    """logo: (S, I, K). The first row is the ceiling, the rest follow `scored`'s order.

    Methods are compared with the mean of all seeds. The ceiling is one seed against the mean of
    the others, averaged over the seeds; `ceiling_share` puts the methods against those same means.
    """
    mean = logo.mean(0)
    rest = [np.delete(logo, s, 0).mean(0) for s in range(len(logo))]
    ceiling = {
        name: np.mean([f(one, other) for one, other in zip(logo, rest, strict=True)], 0)
        for name, f in agreement.METRICS.items()
    }
    ceiling_others = np.mean(
        [agreement.others(one, r, questions.named) for one, r in zip(logo, rest, strict=True)], 0
    )
    top = ceiling["Top-1"]
    rows = [
        Row(
            CEILING,
            {name: agreement.bootstrap(v) for name, v in ceiling.items()},
            by_kind(top, questions),
            agreement.bootstrap(ceiling_others),
            (1.0, 1.0, 1.0),
            logo_cost,
            f"mean of {len(logo)} seeds, each against the others",
            truth=truth.one_with_truth(logo),
            size=truth.one_size(logo),
        )
    ]
    lead = agreement.top1(scored[0].scores, mean) if scored else None
    for one in scored:
        values = {name: f(one.scores, mean) for name, f in agreement.METRICS.items()}
        fair = np.mean([agreement.top1(one.scores, other) for other in rest], 0)
        rows.append(
            Row(
                one.method,
                {name: agreement.bootstrap(v) for name, v in values.items()},
                by_kind(values["Top-1"], questions),
                agreement.bootstrap(agreement.others(one.scores, mean, questions.named)),
                ratio(fair, top),
                one.cost,
                one.remark,
                agreement.paired_bootstrap(lead, values["Top-1"]) if lead is not None else None,
                truth.with_truth(one.scores, logo),
                truth.size(one.scores, logo) if one.nats else None,
            )
        )
    return rows


def by_kind(values: np.ndarray, questions: Questions) -> dict[str, Figure]:
    kinds = np.array(questions.kinds)
    return {k: agreement.bootstrap(values[kinds == k]) for k in dict.fromkeys(questions.kinds)}


def ratio(a: np.ndarray, b: np.ndarray, resamples: int = 2000, seed: int = 0) -> Figure:
    """mean(a) / mean(b) with a percentile bootstrap interval over the same queries."""
    rng = np.random.default_rng(seed)
    index = rng.integers(len(a), size=(resamples, len(a)))
    drawn = a[index].mean(1) / np.maximum(b[index].mean(1), 1e-12)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(a.mean() / max(b.mean(), 1e-12)), float(low), float(high)
