"""Does a certificate tell beforehand how well a LoRA agrees with retraining?

    python benchmarks/certificates.py --data DIR/train --base DIR/base [--out guda-bench]

Every style of the benchmark is unlearned by the benchmark's recipe, from hardly begun to broken,
by the defaults, from nothing and from the text, and by 1,500 steps; each LoRA's deltas for the dev
split's questions are held against those of retraining (LOGO). Printed are a row per LoRA, one per
recipe, and the rank correlations of what certificates say with agreement; the plot goes to
OUT/styles/dev/certificates.png. Nothing of a certificate looks at a question or at LOGO.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import rankdata

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import on_styles
from guda.bench import styles
from guda.bench.benchmark import Guda
from guda.bench.keep import kept
from guda.bench.meter import Cost
from guda.cli import Progress
from guda.config import ElboConfig, UnlearnConfig
from guda.files import write_atomically
from guda.jobs.unlearn import UnlearnRequest, unlearn
from guda.scoring.differences import score_queries
from guda.settings import digest
from guda.steps import Steps, drain
from guda.unlearning.progress import Measure

RECIPES = {
    "20 steps": styles.LORA.replace(steps=20),
    "75 steps": styles.LORA.replace(steps=75),
    "150 steps": styles.LORA.replace(steps=150),
    "300 steps": styles.LORA,
    "60 steps, lr x 10": styles.LORA.replace(steps=60, lr=10 * styles.LORA.lr),
    "the defaults": UnlearnConfig(),
    "the same, from the text": UnlearnConfig(start="text"),
    "20 steps of it": UnlearnConfig(start="text", steps=20),
    "10 steps of it": UnlearnConfig(start="text", steps=10),
    "1,500 steps": UnlearnConfig(steps=1500, batch_size=4, retain_batch_size=4, lr=4e-3),
}
ELBO = ElboConfig(evaluations=32)
VERDICTS = {"certified": "o", "weak": "v", "broken": "X", "refused": "s"}


@dataclass(frozen=True)
class Measured:
    """One LoRA: what its certificate says, and how its deltas agree with LOGO's."""

    style: str
    recipe: str
    verdict: str
    achieved: float
    drift: float
    pearson: float  # over the questions
    slope: float  # its nats per nat of LOGO

    def line(self) -> str:
        numbers = (self.achieved, self.drift, self.pearson, self.slope)
        cells = [self.style, self.recipe, self.verdict, *(f"{n:.2f}" for n in numbers)]
        return f"| {' | '.join(cells)} |"


def overall(measure: Measure | None) -> float:
    share = None if measure is None else measure.overall
    return float("nan") if share is None else share.value


@dataclass(frozen=True)
class Recipe:
    """All LoRAs by one recipe: how they order the styles of a question, beside LOGO."""

    name: str
    top: float  # share of the questions whose first style is LOGO's
    pearson: float  # over a question's styles, on average

    def line(self) -> str:
        return f"| {self.name} | {self.top:.2f} | {self.pearson:.2f} |"


def measured(args: argparse.Namespace) -> Steps[tuple[list[Measured], list[Recipe]]]:
    trained = yield from on_styles.trained(args)
    retrained = yield from trained.retrained("dev")
    bench, backbone, out = trained.bench, trained.full.backbone, trained.out
    truth, query = retrained.deltas.mean(0), retrained.questions.encoded(backbone)
    rows, recipes = [], []
    for recipe, config in RECIPES.items():
        method = Guda(config, ELBO)
        request = UnlearnRequest(backbone, bench.groups, method.folder(out), method.recipe)
        made = yield from unlearn(request)

        def scores(made=made) -> Steps[tuple[np.ndarray, Cost, str]]:
            loras = {e.name: made.load(e, backbone) for e in made.entries}
            gaps = yield from score_queries(backbone, loras, query, ELBO)
            return gaps.contributions.sum(-1), Cost(), ""

        made_from = digest(retrained.key, method.as_key(), bench.groups.names)
        deltas, *_ = yield from kept(
            retrained.folder / "certificates" / f"{digest(recipe)[:8]}.json", made_from, scores()
        )
        own = [float(np.corrcoef(x, y)[0, 1]) for x, y in zip(truth, deltas, strict=True)]
        same = truth.argmax(1) == deltas.argmax(1)
        recipes.append(Recipe(recipe, float(same.mean()), float(np.mean(own))))
        for k, entry in enumerate(made.entries):
            assert entry.certificate is not None
            told = entry.certificate.progress
            x, y = truth[:, k], deltas[:, k]
            rows.append(
                Measured(
                    entry.name,
                    recipe,
                    entry.certificate.as_dict(entry.gate)["verdict"],
                    overall(told.achieved),
                    overall(told.drift),
                    float(np.corrcoef(x, y)[0, 1]),
                    float(np.polyfit(x, y, 1)[0]),
                )
            )
    return rows, recipes


def plot(rows: list[Measured]) -> Figure:
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, name in ((left, "achieved"), (right, "drift")):
        for verdict, marker in VERDICTS.items():
            some = [r for r in rows if r.verdict == verdict]
            axes.plot(
                [max(0.0, getattr(r, name)) for r in some],
                [r.pearson for r in some],
                marker,
                label=verdict,
                ls="none",
                alpha=0.8,
            )
        axes.spines[["top", "right"]].set_visible(False)
    left.set_xlabel("achieved, on held-out pictures (broken ones lie far below 0)")
    right.set_xlabel("drift of other styles")
    right.set_xscale("log")
    left.set_ylabel("Pearson with retraining, over the questions")
    left.legend(frameon=False)
    return figure


def ranks(rows: list[Measured], name: str) -> float:
    x, y = ([getattr(r, n) for r in rows] for n in (name, "pearson"))
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    on_styles.options(parser)
    args = parser.parse_args()
    with Progress() as progress:
        rows, recipes = drain(measured(args), progress)
    print("| style | recipe | certificate | achieved | drift | Pearson | slope |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(row.line())
    print("\n| recipe | Top-1 | Pearson over a question's styles |\n|---|---|---|")
    for recipe in recipes:
        print(recipe.line())
    whole = [r for r in rows if r.verdict != "broken"]
    print()
    for name in ("achieved", "drift"):
        print(
            f"Spearman of {name} with Pearson: {ranks(rows, name):.2f} over {len(rows)} LoRAs, "
            f"{ranks(whole, name):.2f} over the {len(whole)} that are not broken"
        )
    for verdict in VERDICTS:
        some = [r.pearson for r in rows if r.verdict == verdict]
        if some:
            print(f"{verdict}: {len(some)} LoRAs, Pearson {np.mean(some):.2f} on average")
    path = args.out / "styles" / "dev" / "certificates.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda tmp: plot(rows).savefig(tmp, format="png", dpi=150))
    print(path)


if __name__ == "__main__":
    main()
