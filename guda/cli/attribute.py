"""python -m guda attribute: pictures scored against a set."""

from __future__ import annotations

import argparse
import dataclasses

from ..config import ElboConfig
from ..errors import ConfigError
from ..files.destination import check_folder
from . import arguments, cluster, model, options, output, styles
from .output import Progress


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser("attribute", help="score pictures against styles")
    asks(parser)
    parser.add_argument("--out", type=arguments.path, required=True, help="where the report goes")
    cluster.add(parser)
    parser.set_defaults(run=run)


def asks(parser: argparse.ArgumentParser) -> None:
    """The options of commands that score pictures against styles."""
    model.add(parser)
    styles_asked(parser)
    parser.add_argument("--image", type=arguments.path, required=True, nargs="+", help="pictures")
    parser.add_argument(
        "--prompt",
        action="append",
        type=arguments.text,
        help="what the picture shows; once for all, or per picture",
    )
    parser.add_argument(
        "--null",
        type=arguments.path,
        metavar="FILE",
        help="pictures that have nothing to do with the styles, from guda null, for a verdict with "
        "a known share of errors; found by itself in the folder of the counterfactuals",
    )
    parser.add_argument(
        "--one-source",
        action="store_true",
        help="the pictures are of one source (a workflow, an artist): say what they lean on "
        "together, from 10 pictures on",
    )
    parser.add_argument(
        "--credit",
        action="store_true",
        help="a column of credit, which adds up to at most 1 and leaves the rest to none of these",
    )
    options.add(parser, ElboConfig)


def styles_asked(parser: argparse.ArgumentParser) -> None:
    """The options that say which styles are asked for."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--counterfactuals", type=arguments.path, help="folder of a set that unlearn made"
    )
    source.add_argument(
        "--styles",
        type=arguments.path,
        help="text file of styles, 'Name: phrase' per line, which the model answers for directly: "
        "nothing is unlearned",
    )
    source.add_argument(
        "--groups", type=arguments.path, help="folder with one subfolder per style, answered so too"
    )
    parser.add_argument(
        "--template",
        type=arguments.text,
        help="how a prompt is asked in a style, e.g. '{content}, by {style}'; for --styles and "
        "--groups",
    )


def run(args: argparse.Namespace) -> int:
    check_folder(args.out, "out")
    cluster.check(args)
    return told(args, asked_for(args))


def told(args: argparse.Namespace, work) -> int:
    """What an attribution will take, with --plan; else its report, in --out."""
    from ..report import save
    from ..steps import drain

    if args.plan:
        return output.tell(work.price(), args.json)
    parts, backbone = args.out / cluster.PARTS, work.request.backbone
    with Progress() as progress, cluster.measuring(args, backbone, parts) as how:
        attribution = drain(work.run(**how), progress)
        report = save(attribution, args.out)
    output.finish(attribution, report, args.json)
    return 0


def asked_for(args: argparse.Namespace):
    """The work that the options of `asks` describe, surveyed."""
    from ..groups import pictures
    from ..jobs import against
    from ..jobs.attribute import AttributeRequest, survey
    from ..jobs.shapes import sizes

    config = options.read(args, ElboConfig)
    without = without_of(args)
    for path in args.image:
        pictures.check(path)
    backbone = model.load(args)
    size = sizes(backbone, config)
    loaded = [pictures.load(path, size) for path in args.image]
    pool, file = against.given(args.null, without, backbone, config)
    names = [p.name for p in args.image]
    prompts = args.prompt or [""]
    request = AttributeRequest(
        backbone, without, loaded, names, prompts, config, null=pool, null_file=file
    )
    return survey(dataclasses.replace(request, one_source=args.one_source, credit=args.credit))


def without_of(args: argparse.Namespace):
    """The set, or the styles that the model itself answers for; of these, those of --style."""
    without = _all_of(args)
    return without.subset(args.style) if args.style else without


def _all_of(args: argparse.Namespace):
    from ..counterfactuals import load_set

    if args.counterfactuals is not None:
        if args.template is not None:
            raise ConfigError(
                f"template is {args.template!r}, but the set {args.counterfactuals} was unlearned "
                "from whole captions; leave template out."
            )
        return load_set(args.counterfactuals)
    return styles.asked_for(args)
