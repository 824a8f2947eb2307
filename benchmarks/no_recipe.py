"""Do the defaults pass their certificate on models that nobody tuned them for?

    python benchmarks/no_recipe.py demo|digits|styles [--out guda-bench] [--data DIR/train --base DIR/base]

All styles of the built-in model, of the digits benchmark's model or of the styles benchmark's are
unlearned by what suits the model: as it is, ending by itself, with the learning rate found by
trials, too, and all this on pictures of half the side. Printed are a row per style and what it took.
"""  # noqa: E501

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import on_styles
from guda import demo
from guda.backbone.files.load import DEMO, load
from guda.bench import digits
from guda.bench.oracle import Trained
from guda.cli import Progress
from guda.config import UnlearnConfig
from guda.counterfactuals import CounterfactualSet, Entry
from guda.diffusion import Backbone
from guda.groups import StyleGroups, from_prompts
from guda.jobs.unlearn import UnlearnRequest, survey
from guda.settings import digest
from guda.steps import Steps, drain
from guda.unlearning import rates
from guda.unlearning.progress import Measure
from guda.unlearning.recipe import recommended

WAYS = {
    "the defaults": {},
    "--stop auto": {"stop": "auto"},
    "--lr-probe auto --stop auto": {"stop": "auto", "lr_probe": "auto"},
    "the same, half the resolution": {"stop": "auto", "lr_probe": "auto", "unlearn_resolution": 1},
    "all steps, lr 0.01": {"stop": "auto", "goal": 1.0},
    "all steps, lr 0.004": {"stop": "auto", "goal": 1.0, "lr": 4e-3},
    "1,500 steps": {"steps": 1500, "batch_size": 4, "retain_batch_size": 4},
    "1,500 steps, lr 0.004": {"steps": 1500, "batch_size": 4, "retain_batch_size": 4, "lr": 4e-3},
    "text": {"start": "text"},
    "text, 20 steps": {"start": "text", "steps": 20},
    "text, 10 steps": {"start": "text", "steps": 10},
    "text, --stop auto": {"start": "text", "stop": "auto"},
    "all steps, retrack": {"stop": "auto", "goal": 1.0, "operator": "retrack", "kl_cap": 0.0},
}
"""An unlearn_resolution of 1 stands for half of the model's."""


def built_in(args: argparse.Namespace) -> Steps[tuple[Backbone, StyleGroups]]:
    yield from ()
    return load(DEMO), from_prompts(demo.STYLES, demo.CONTENTS, pictures=32)


def of_digits(args: argparse.Namespace) -> Steps[tuple[Backbone, StyleGroups]]:
    out = args.out / "digits"
    made = yield from Trained.of(digits.benchmark(out, False), out)
    return made.full.backbone, made.bench.groups


def of_styles(args: argparse.Namespace) -> Steps[tuple[Backbone, StyleGroups]]:
    made = yield from on_styles.trained(args)
    return made.full.backbone, made.bench.groups


MODELS = {"demo": built_in, "digits": of_digits, "styles": of_styles}


def overall(measure: Measure | None) -> str:
    share = None if measure is None else measure.overall
    return "" if share is None else f"{share.value:.3f}"


def line(entry: Entry) -> str:
    assert entry.certificate is not None
    seen = entry.certificate.progress
    numbers = map(overall, (seen.achieved, seen.unnamed, seen.drift))
    ended = entry.ended[0].end.value if entry.ended else ""
    verdict = entry.certificate.as_dict(entry.gate)["verdict"]
    return f"| {' | '.join((entry.name, verdict, *numbers, str(len(entry.losses)), ended))} |"


def told(made: CounterfactualSet, recipe: UnlearnConfig) -> str:
    """What it took, the trials with it."""
    trained = sum(len(e.losses) for e in made.entries)
    trials = ", ".join(map(str, made.trials))
    more = rates.steps(recipe) * len(made.trials)
    found = f"; lr {made.recipe['lr']:g}" + (f", found by {more} steps ({trials})" if more else "")
    return f"{trained + more} steps{found}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", choices=MODELS)
    on_styles.options(parser, needed=False)
    parser.add_argument("--way", action="append", choices=WAYS, help="only these")
    args = parser.parse_args()
    with Progress() as progress:
        backbone, groups = drain(MODELS[args.model](args), progress)
    for way in args.way or WAYS:
        recipe = recommended(backbone).replace(**WAYS[way])
        if recipe.unlearn_resolution:
            recipe = recipe.replace(unlearn_resolution=backbone.resolution // 2)
        folder = args.out / args.model / "no-recipe" / digest(recipe.as_key())[:12]
        drawn = args.out / args.model / "pictures-drawn"
        work = survey(UnlearnRequest(backbone, groups, folder, recipe, cache=drawn))
        with Progress() as progress:
            planned = drain(work.price(), progress).per_style
            made = drain(work.run(), progress)
        print(f"\n{args.model}, {way}: {told(made, recipe)}")
        if planned is not None:
            print("planned UNet evaluations of a style: at most {}, fixed {}".format(*planned))
        print()
        print("| style | certificate | achieved | unnamed | drift | steps | ended as |")
        print("|---|---|---|---|---|---|---|")
        for entry in made.entries:
            print(line(entry), flush=True)


if __name__ == "__main__":
    main()
