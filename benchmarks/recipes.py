"""Recipes and regularizations compared on the dev split; what wins there goes into the benchmark.

    python benchmarks/recipes.py digits [--out guda-bench] [--only TRAK]
    python benchmarks/recipes.py styles --data DIR

Each variant changes the first row's recipe, 100 steps of ReTrack or 150 steps of AWSS. Models,
counterfactual sets and scores are kept in the benchmark's folder and reused; the test split's
queries are never looked at.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guda.bench import digits, report, styles
from guda.bench.benchmark import Benchmark, Guda
from guda.bench.run import run
from guda.cli import Progress
from guda.config import UnlearnConfig
from guda.steps import drain

Changes = dict[str, dict[str, Any]]
"""Display name -> the fields of the recipe that differ, and `weighting` of the score."""

DIGITS: Changes = {
    "ReTrack": {},
    "rank 4": {"rank": 4},
    "rank 32": {"rank": 32},
    "attention only": {"modules": "attention"},
    "50 steps": {"steps": 50},
    "200 steps": {"steps": 200},
    "400 steps": {"steps": 400},
    "lr 1e-3": {"lr": 1e-3},
    "lr 4e-3": {"lr": 4e-3},
    "lambda 0.3": {"preserve_weight": 0.3},
    "lambda 3": {"preserve_weight": 3.0},
    "rank 32, 400 steps": {"rank": 32, "steps": 400},
    "lambda 3, 200 steps": {"preserve_weight": 3.0, "steps": 200},
    "lambda 3, 400 steps": {"preserve_weight": 3.0, "steps": 400},
    "full, 200 steps": {"modules": "full", "lr": 5e-4, "steps": 200},
    "low timesteps": {"timesteps": "low"},
    "K = 1": {"neighbours": 1},
    "kl_cap 1": {"kl_cap": 1.0},
    "teacher-anchored, 200 steps": {"operator": "teacher_anchored", "kl_cap": 8.0, "steps": 200},
    "ESD, 200 steps": {"operator": "esd", "steps": 200},
}
LONG: dict[str, Any] = {"caption_dropout": 0.5, "modules": "all", "rank": 32, "steps": 300}
WON = LONG | {"preserve_weight": 3.0}
STYLES: Changes = {
    "AWSS": {},
    "rank 4": {"rank": 4},
    "rank 32": {"rank": 32},
    "cross-attention only": {"modules": "cross_attention"},
    "all layers": {"modules": "all"},
    "75 steps": {"steps": 75},
    "300 steps": {"steps": 300},
    "lr 2e-3": {"lr": 2e-3},
    "lr 8e-3": {"lr": 8e-3},
    "lambda 0.3": {"preserve_weight": 0.3},
    "lambda 3": {"preserve_weight": 3.0},
    "uniform timesteps": {"timesteps": "uniform"},
    "uniform anchor": {"anchor": "uniform"},
    "style removed": {"anchor": "style_removed"},
    "matched retain": {"anchor": "matched_retain"},
    "full": {"modules": "full", "lr": 5e-4},
    "ReTrack": {"operator": "retrack"},
    "ESD": {"operator": "esd"},
    "gradient ascent": {"operator": "gradient_ascent", "lr": 5e-4},
    "dropout 0.5": {"caption_dropout": 0.5},
    "all layers, rank 32": {"modules": "all", "rank": 32},
    "dropout 0.5, all layers, rank 32": {"caption_dropout": 0.5, "modules": "all", "rank": 32},
    "dropout 0.5, all layers, rank 32, 300 steps": LONG,
    "dropout 0.5, all layers, rank 32, 300 steps, eps weights": LONG | {"weighting": "eps"},
    "dropout 0.5, all layers, rank 32, 600 steps": LONG | {"steps": 600},
    "dropout 0.5, all layers, rank 32, 300 steps, uniform timesteps": LONG
    | {"timesteps": "uniform"},
    "dropout 0.5, all layers, rank 32, 300 steps, lambda 3": WON,
    "dropout 0.5, all layers, rank 32, 300 steps, lambda 3, eps weights": WON
    | {"weighting": "eps"},
    "dropout 0.5, all layers, rank 32, 300 steps, lambda 3, 3 repeats": WON | {"repeats": 3},
    "dropout 0.5, all layers, rank 32, 300 steps, lambda 3, 3 repeats, eps weights": WON
    | {"repeats": 3, "weighting": "eps"},
    "dropout 0.5, full, 300 steps": {
        "caption_dropout": 0.5,
        "modules": "full",
        "lr": 5e-4,
        "steps": 300,
    },
}
REGULARIZATIONS = (1e-2, 0.1, 1.0, 10.0)


def baselines(attention: bool) -> dict[str, tuple[str, dict[str, Any]]]:
    """The baselines with something to choose, each with the values to choose from."""
    more = {"parameters": "attention"} if attention else {}
    grid: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, scorer in (("TRAK", "trak"), ("D-TRAK", "dtrak"), ("DAS", "das")):
        for value in REGULARIZATIONS:
            grid[f"{name}, {value:g}"] = (scorer, {"regularization": value, **more})
    for normalize in (False, True):
        grid[f"TracIn, normalize {normalize}"] = ("grad_dot", {"normalize": normalize, **more})
    for k in (1, 5, 10, 20, 50):
        grid[f"latents, {k}-NN"] = ("latent_knn", {"k": k})
        grid[f"UNet features, {k}-NN"] = ("feature_knn", {"k": k})
    grid["UNet features, prototype"] = ("feature_prototype", {})
    grid["UNet features, prototype, pooled"] = ("feature_prototype", {"pool": True})
    for size in (1e-3, 1e-2, 0.1):
        grid[f"instance, size {size:g}"] = ("instance", {"size": size})
    if not attention:
        grid["instance, all weights"] = ("instance", {"parameters": "all"})
    return grid


def variants(
    bench: Benchmark, recipe: UnlearnConfig, changes: Changes, grid: dict, only: str
) -> Benchmark:
    elbo = next(iter(bench.guda.values())).elbo
    methods = {}
    for name, change in changes.items():
        change = dict(change)
        scored = elbo.replace(weighting=change.pop("weighting", elbo.weighting))
        methods[name] = Guda(recipe.replace(**change), scored)
    return dataclasses.replace(
        bench,
        title=f"{bench.title}: recipes on the dev split",
        guda={n: m for n, m in methods.items() if only in n},
        baselines={n: b for n, b in grid.items() if only in n},
        budgets=(),
        repeats=0,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=["digits", "styles"])
    parser.add_argument("--out", type=Path, default=Path("guda-bench"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", default="", help="only variants whose name contains this")
    args = parser.parse_args()
    out = args.out / args.name
    if args.name == "digits":
        bench = variants(
            digits.benchmark(out, False),
            digits.SHORT,
            DIGITS,
            baselines(False),
            args.only,
        )
    else:
        whole = styles.benchmark(out, False, args.data)
        bench = variants(whole, styles.SHORT, STYLES, baselines(True), args.only)
    with Progress() as progress:
        result = drain(run(bench, out, "dev"), progress)
    report.save(result, out / "dev")
    print(report.to_markdown(result))


if __name__ == "__main__":
    main()
