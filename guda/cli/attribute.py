"""python -m guda attribute: pictures scored against a set."""

from __future__ import annotations

import argparse

from ..config import ElboConfig
from ..files.destination import check_folder
from . import arguments, model, options, output
from .output import Progress


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser("attribute", help="score pictures against a set")
    model.add(parser)
    parser.add_argument(
        "--counterfactuals", type=arguments.path, required=True, help="folder of the set"
    )
    parser.add_argument("--image", type=arguments.path, required=True, nargs="+", help="pictures")
    parser.add_argument(
        "--prompt",
        action="append",
        type=arguments.text,
        help="what the picture shows; once for all, or per picture",
    )
    parser.add_argument("--out", type=arguments.path, required=True, help="where the report goes")
    options.add(parser, ElboConfig)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..counterfactuals import load_set
    from ..groups import pictures
    from ..jobs.attribute import AttributeRequest, survey
    from ..report import save
    from ..steps import drain

    config = options.read(args, ElboConfig)
    check_folder(args.out, "out")
    found = load_set(args.counterfactuals)
    if args.style:
        found = found.subset(args.style)
    for path in args.image:
        pictures.check(path)
    backbone = model.load(args)
    loaded = [pictures.load(path, backbone.resolution) for path in args.image]
    request = AttributeRequest(
        backbone, found, loaded, [p.name for p in args.image], args.prompt or [""], config
    )
    work = survey(request)
    if args.plan:
        return output.tell(work.price(), args.json)
    with Progress() as progress:
        attribution = drain(work.run(), progress)
    output.finish(attribution, save(attribution, args.out), args.json)
    return 0
