"""python -m guda attribute: pictures scored against a set."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..config import ElboConfig
from ..errors import ConfigError
from . import model, options, output
from .output import Progress


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser("attribute", help="score pictures against a set")
    model.add(parser)
    parser.add_argument("--counterfactuals", type=Path, required=True, help="folder of the set")
    parser.add_argument("--image", type=Path, required=True, nargs="+", help="pictures")
    parser.add_argument(
        "--prompt", action="append", help="what the picture shows; once for all, or per picture"
    )
    parser.add_argument("--out", type=Path, required=True, help="where the report goes")
    options.add(parser, ElboConfig)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..counterfactuals import load_set
    from ..groups import pictures
    from ..jobs.attribute import AttributeRequest, attribute
    from ..jobs.plan import plan_attribute
    from ..report import save
    from ..steps import drain

    config = options.read(args, ElboConfig)
    if args.out.is_file():
        raise ConfigError(f"out is {args.out}, which is a file; give a folder.")
    found = load_set(args.counterfactuals)
    if args.style:
        found = found.subset(args.style)
    loaded = [pictures.load(path) for path in args.image]
    request = AttributeRequest(
        model.load(args), found, loaded, [p.name for p in args.image], args.prompt or [""], config
    )
    if args.plan:
        return output.tell(plan_attribute(request), args.json)
    with Progress() as progress:
        attribution = drain(attribute(request), progress)
    output.finish(attribution, save(attribution, args.out), args.json)
    return 0
