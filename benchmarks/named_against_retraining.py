"""Where a verdict names a style, does retraining without it hurt the picture most?

    python benchmarks/named_against_retraining.py --data DIR/train --base DIR/base [--out OUT]

The pictures that the styles benchmark's full model drew (both splits) are asked about directly,
once without a null pool and once with one of 200 pictures, and every name is held against the mean
over the retrainings (LOGO). Run `guda bench styles` first, which retrains; this adds minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import on_styles
from guda.cli import Progress
from guda.config import ElboConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.jobs.attribute import AttributeRequest, attribute
from guda.jobs.null import NullRequest, null
from guda.scoring.verdict import Outcome
from guda.steps import Steps, drain

DRAWN = ("prompted", "no style", "two styles", "wrong word")


def measured(args: argparse.Namespace) -> Steps[dict[str, np.ndarray]]:
    """Of every drawn picture: its kind; the style named without and with a pool, -1 where none;
    and LOGO's deltas."""
    trained = yield from on_styles.trained(args)
    groups, backbone = trained.bench.groups, trained.full.backbone
    without, config = DirectCounterfactuals.of(groups), ElboConfig(batch_size=128)
    forms, file = ("content", "named"), trained.out / "null.json"
    pool = yield from null(NullRequest(backbone, without, file, forms=forms, config=config))
    told: dict[str, list] = {"kind": [], "before": [], "after": [], "logo": []}
    for split in ("dev", "test"):
        retrained = yield from trained.retrained(split)
        questions = retrained.questions
        rows = [i for i, kind in enumerate(questions.kinds) if kind in DRAWN]
        request = AttributeRequest(
            backbone,
            without,
            [questions.pictures[i] for i in rows],
            [f"{split} {i}" for i in rows],
            [questions.prompts[i] for i in rows],
            config,
        )
        for name, against in (("before", None), ("after", pool)):
            answer = yield from attribute(dataclasses.replace(request, null=against))
            for image in answer.images:
                one = image.outcome is Outcome.STYLE
                told[name].append(groups.names.index(image.scores[0].group) if one else -1)
        told["kind"] += [questions.kinds[i] for i in rows]
        told["logo"] += list(retrained.deltas[:, rows].transpose(1, 0, 2))
    return {name: np.array(values) for name, values in told.items()}


def line(kind: str, named: np.ndarray, deltas: np.ndarray) -> str:
    """named: (n,); deltas: (n, S, K)."""
    rows = np.flatnonzero(named >= 0)
    cells = [kind, str(len(named)), f"{len(rows) / max(1, len(named)):.0%}"]
    if len(rows):
        own = deltas[rows, :, named[rows]]  # (r, S)
        rest = deltas[rows].copy()
        rest[np.arange(len(rows)), :, named[rows]] = -np.inf
        ahead = own - rest.max(2)
        first = own.mean(1) > rest.mean(1).max(1)
        error = ahead.std(1, ddof=1) / ahead.shape[1] ** 0.5
        cells += [f"{first.mean():.0%}", f"{(ahead.mean(1) > 2 * error).mean():.0%}"]
    else:
        cells += ["", ""]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    on_styles.options(parser)
    args = parser.parse_args()
    with Progress() as progress:
        told = drain(measured(args), progress)
    for name, title in (("before", "without a pool"), ("after", "with a pool of 200")):
        print(f"| {title} | n | named | LOGO's first, too | ahead beyond the seeds' noise |")
        print("|---|---|---|---|---|")
        for kind in DRAWN:
            rows = told["kind"] == kind
            print(line(kind, told[name][rows], told["logo"][rows]))
        print(line("all", told[name], told["logo"]) + "\n")


if __name__ == "__main__":
    main()
