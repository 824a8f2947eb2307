"""python -m guda evidence: pictures scored, and all that the scores stand on, in one file."""

from __future__ import annotations

import argparse
import json

from . import arguments, attribute, output
from .output import Progress, say


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "evidence", help="score pictures as attribute does, into one ZIP that others can check"
    )
    attribute.asks(parser)
    parser.add_argument("--out", type=arguments.path, required=True, help="the ZIP to be written")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..evidence import bundle
    from ..report.tables import to_markdown
    from ..steps import drain

    bundle.check(args.out)
    work = attribute.asked_for(args)
    if args.plan:
        return output.tell(work.price(), args.json)
    with Progress() as progress:
        attribution = drain(work.run(), progress)
        made = drain(bundle.make(attribution, args.out), progress)
    if args.json:
        say(json.dumps({"bundle": str(made.path), "name": made.name}, indent=2))
        return 0
    say(to_markdown(attribution))
    say(f"Bundle: {made.path}, named {made.name}")
    return 0
