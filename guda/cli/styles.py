"""python -m guda styles: which styles the model knows by their names."""

from __future__ import annotations

import argparse
import json

from . import arguments, model, output
from .output import Progress, say


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser("styles", help="which styles the model knows by their names")
    model.add(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--styles",
        type=arguments.path,
        help="text file of styles, 'Name: phrase' or just the phrase per line",
    )
    source.add_argument("--groups", type=arguments.path, help="folder with one subfolder per style")
    parser.add_argument(
        "--content",
        action="append",
        type=arguments.text,
        help="what is shown in the styles, at least two; without it, everyday subjects",
    )
    parser.add_argument(
        "--template",
        type=arguments.text,
        help="how a prompt is asked in a style, e.g. '{content}, by {style}'",
    )
    parser.add_argument("--csv", action="store_true", help="print the table as CSV")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..jobs.styles import CONTENTS, StylesRequest, survey
    from ..report import known
    from ..steps import drain

    styles = asked_for(args)
    if args.style:
        styles = styles.subset(args.style)
    backbone = model.load(args)
    work = survey(StylesRequest(backbone, styles, args.content or CONTENTS))
    if args.plan:
        return output.tell(work.price(), args.json)
    with Progress() as progress:
        told = drain(work.run(), progress)
    if args.json:
        say(json.dumps(known.to_dict(told), indent=2))
    else:
        say((known.to_csv(told) if args.csv else known.to_markdown(told)).rstrip("\n"))
    return 0


def asked_for(args: argparse.Namespace):
    """The styles of --styles or --groups, asked for in --template."""
    from ..counterfactuals.direct import DirectCounterfactuals
    from ..files.reading import read_text
    from ..groups import load_folder, parse_styles
    from ..groups.phrases import TEMPLATE

    if args.styles is not None:
        named = parse_styles(read_text(args.styles))
        return DirectCounterfactuals.named(named, args.template or TEMPLATE)
    return DirectCounterfactuals.of(load_folder(args.groups, template=args.template))
