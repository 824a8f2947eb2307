"""python -m guda bench: agreement with retraining, beside the baselines."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..files.destination import check_folder
from . import arguments, cluster
from .output import Progress, say


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser("bench", help="agreement with retraining, beside the baselines")
    parser.add_argument("name", choices=["digits", "styles"], help="which benchmark")
    parser.add_argument(
        "--out", type=arguments.path, default=Path("guda-bench"), help="where results go"
    )
    parser.add_argument("--quick", action="store_true", help="small, in at most four minutes")
    parser.add_argument(
        "--data", type=arguments.path, help="styles: a folder of groups, one per subfolder"
    )
    parser.add_argument(
        "--base", type=arguments.path, help="styles: a folder of other groups, learned before them"
    )
    parser.add_argument(
        "--split", choices=["test", "dev"], default="test", help="dev: the queries to tune on"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        help="how often the model is trained again without each group, 2 or more",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        type=arguments.text,
        metavar="METHOD",
        help="make this row anew and take the others from --out; may be repeated",
    )
    parser.add_argument(
        "--clip", type=arguments.path, help="folder of a CLIP, for similarity by its features"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    cluster.add(parser, model=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..bench import report
    from ..bench.named import Named
    from ..bench.run import check_rows, run
    from ..steps import drain

    check_folder(args.out, "out")
    cluster.check(args)
    out = args.out / (f"{args.name}-quick" if args.quick else args.name)
    given = (args.quick, args.data, args.base, args.clip, args.seeds)
    named, again = Named(args.name, out, *given), args.only
    bench = named.benchmark()
    with Progress() as progress:
        if args.cluster:
            check_rows(bench, again)
            cluster.benched(args, named, bench, progress)
            again = ()
        result = drain(run(bench, out, args.split, again), progress)
    path = report.save(result, out / args.split)
    if args.json:
        say(json.dumps(report.to_dict(result), indent=2))
        return 0
    say(report.to_markdown(result))
    say(f"Results: {path}")
    return 0
