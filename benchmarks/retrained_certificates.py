"""What would a certificate say of a model that truly never had the group?

    python benchmarks/retrained_certificates.py digits [--quick] [--out guda-bench]
    python benchmarks/retrained_certificates.py styles --data DIR/train --base DIR/base [--out guda-bench] [--style NAME ...]

A certificate measures a LoRA against the target that it was trained towards. Here it measures the
models of a benchmark that were trained again without a group, by the defaults' target and, of
digits, by the benchmark's own. Printed are a row per group and target.
"""  # noqa: E501

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import on_styles
from benchmarks.no_recipe import overall
from guda.bench import digits
from guda.bench.oracle import Trained
from guda.bench.train import train
from guda.cli import Progress
from guda.config import UnlearnConfig
from guda.groups import Group
from guda.groups.encode import encode_groups
from guda.steps import Steps, drain
from guda.unlearning.probe import Probe
from guda.unlearning.progress import Progress as Certified
from guda.unlearning.recipe import recommended
from guda.unlearning.train import batches_of, rooms_of


def of_digits(args: argparse.Namespace) -> Steps[Trained]:
    out = args.out / ("digits-quick" if args.quick else "digits")
    return Trained.of(digits.benchmark(out, args.quick), out)


MODELS = {"digits": of_digits, "styles": on_styles.trained}


def certified(trained: Trained, group: Group, config: UnlearnConfig) -> Steps[Certified]:
    """Of the model without the group, trained here where --out has none."""
    full, groups = trained.full.backbone, trained.bench.groups
    encoded = yield from encode_groups(full, groups, config.heldout)
    batches = batches_of(full, groups, encoded, group.name, config)
    _, room = rooms_of(full, config, None)
    probe = Probe.of(full, batches, room)
    model = trained.bench.fresh(1)
    path = trained.out / "models" / f"without-{group.slug}-1.safetensors"
    yield from train(model, trained.encoded, group.name, trained.bench.train, 1, path)
    return probe.progress(probe.answers(model.backbone, room))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", choices=MODELS)
    on_styles.options(parser, needed=False)
    parser.add_argument("--quick", action="store_true", help="of digits, five classes")
    parser.add_argument("--style", action="append", help="only these")
    args = parser.parse_args()
    with Progress() as progress:
        trained = drain(MODELS[args.model](args), progress)
    recipe = recommended(trained.full.backbone)
    recipes = {recipe.operator: recipe}
    if args.model == "digits":
        recipes["retrack"] = recipe.replace(operator="retrack", kl_cap=0.0)
    print("| trained without | target | achieved | unnamed | scores | drift |")
    print("|---|---|---|---|---|---|")
    for name in args.style or trained.bench.groups.names:
        for target, config in recipes.items():
            with Progress() as progress:
                told = drain(certified(trained, trained.bench.groups[name], config), progress)
            numbers = map(overall, (told.achieved, told.unnamed, told.scores, told.drift))
            print(f"| {' | '.join((name, target, *numbers))} |", flush=True)


if __name__ == "__main__":
    main()
