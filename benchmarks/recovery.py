"""How soon does a style come back, that was unlearned, hidden, or truly never there?

    python benchmarks/recovery.py demo|styles [--out guda-bench] [--data DIR/train --base DIR/base] [--style NAME ...]

Styles of the built-in model or of the styles benchmark's are unlearned by recipes from hardly begun
to broken, and every LoRA's recovery is measured (`guda unlearn --recovery`); for the benchmark's the
same is done to the model that was trained again without the style, which never had it. Printed are a
row per LoRA: the steps until a quarter is back, those in which a quarter of a look that was never there is
learned, and their ratio.
"""  # noqa: E501

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import on_styles
from benchmarks.no_recipe import MODELS, overall
from guda.bench.oracle import Trained
from guda.bench.train import train
from guda.cli import Progress
from guda.counterfactuals import CounterfactualSet
from guda.diffusion import Backbone
from guda.diffusion.room import Room
from guda.groups import Group, split_heldout
from guda.groups.encode import encode_part
from guda.jobs.recovery import with_recoveries
from guda.jobs.unlearn import UnlearnRequest, survey
from guda.settings import digest
from guda.steps import Steps, drain
from guda.unlearning import recovery
from guda.unlearning.recipe import recommended
from guda.unlearning.recovery import HELD, PICTURES, Recovery
from guda.unlearning.relearning import Relearning

RECIPES = {
    "the defaults": {},
    "5 steps": {"steps": 5},
    "300 steps, all layers": {
        "steps": 300, "lr": 4e-3, "modules": "all", "rank": 32, "preserve_weight": 3.0,
    },
    "gradient ascent, 20 steps": {
        "operator": "gradient_ascent", "steps": 20, "lr": 1e-3, "preserve_weight": 0.0,
    },
    "ten times the rate": {"lr": 1e-1},
}  # fmt: skip


def ratio(told: Recovery) -> str:
    if told.back is None:
        return "" if told.control is None else f"> {told.limit / told.control:.2g}"
    control = told.taken if told.control is None else told.control
    return f"{'< ' if told.control is None else ''}{told.back / max(control, 1e-9):.2g}"


def cells(told: Recovery | None) -> list[str]:
    if told is None:
        return ["", "", "", ""]
    back = f"> {told.limit}" if told.back is None else f"{told.back:.1f}"
    control = f"> {told.taken}" if told.control is None else f"{told.control:.1f}"
    return [back, control, ratio(told), "yes" if told.hidden else "no"]


def show(recipe: str, made: CounterfactualSet) -> None:
    for entry in made.entries:
        certificate = entry.certificate
        assert certificate is not None
        verdict = certificate.as_dict(entry.gate)["verdict"]
        told = [entry.name, recipe, verdict, overall(certificate.progress.achieved)]
        print(f"| {' | '.join(told + cells(certificate.recovery))} |", flush=True)


def retrained(trained: Trained, group: Group) -> Steps[Recovery]:
    """Of the model that never had the style; trained here where --out has none."""
    model, full = trained.bench.fresh(1), trained.full.backbone
    path = trained.out / "models" / f"without-{group.slug}-1.safetensors"
    yield from train(model, trained.encoded, group.name, trained.bench.train, 1, path)
    config, (seen, held) = recommended(full), split_heldout(group, recommended(full).heldout)
    room = Room(config.batch_size + config.retain_batch_size, full.device)

    def learning(backbone: Backbone) -> Relearning:
        return Relearning(backbone, config, room, recovery.LIMIT)

    some = (full, group, seen[:PICTURES], held[:HELD])  # the VAE is the same
    style, look = encode_part(*some), encode_part(*some, recovery.turned)
    error = learning(full).error(style)
    return (yield from learning(model.backbone).bring_back(error, style, look))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", choices=[m for m in MODELS if m != "digits"])
    on_styles.options(parser, needed=False)
    parser.add_argument("--style", action="append", help="only these")
    parser.add_argument("--recipe", action="append", choices=RECIPES, help="only these")
    args = parser.parse_args()
    trained = None
    with Progress() as progress:
        if args.model == "styles":
            trained = drain(on_styles.trained(args), progress)
            backbone, groups = trained.full.backbone, trained.bench.groups
        else:
            backbone, groups = drain(MODELS[args.model](args), progress)
    names = args.style or list(groups.names)
    print("| style | recipe | certificate | achieved | back | control | ratio | hidden |")
    print("|---|---|---|---|---|---|---|---|")
    for recipe in args.recipe or RECIPES:
        config = recommended(backbone).replace(**RECIPES[recipe])
        folder = args.out / args.model / "recovery" / digest(config.as_key())[:12]
        drawn = args.out / args.model / "pictures-drawn"
        work = survey(UnlearnRequest(backbone, groups, folder, config, names, cache=drawn))
        with Progress() as progress:
            made = drain(work.run(), progress)
            made = drain(with_recoveries(work, made), progress)
        show(recipe, made)
    for name in names:
        if trained is None or args.recipe:
            break
        with Progress() as progress:
            told = drain(retrained(trained, groups[name]), progress)
        print(f"| {' | '.join([name, 'trained without it', '', '', *cells(told)])} |", flush=True)


if __name__ == "__main__":
    main()
