"""python -m guda null: pictures that have nothing to do with the styles, scored and kept."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import ElboConfig, SampleConfig
from ..errors import ConfigError
from ..files.destination import check_folder
from . import arguments, cluster, model, options, output
from .attribute import styles_asked, without_of
from .output import Progress, say

if TYPE_CHECKING:
    from ..scoring.null import Basis


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "null", help="score pictures that have nothing to do with the styles, for verdicts"
    )
    model.add(parser)
    styles_asked(parser)
    parser.add_argument(
        "--size",
        type=int,
        default=200,
        metavar="N",
        help="pictures for each form of prompt; more may be added later (default: %(default)s)",
    )
    parser.add_argument(
        "--prompts",
        nargs="+",
        choices=("content", "none", "named"),
        default=["content"],
        help="how they are asked, as the pictures in question will be: content: with what is "
        "shown; none: with no prompt; named: with one of the styles' names (default: content)",
    )
    parser.add_argument(
        "--images",
        type=arguments.path,
        help="folder of pictures that are surely in none of the styles, for questions about real "
        "pictures; without it the model draws them, for questions about what it draws",
    )
    parser.add_argument(
        "--like",
        type=arguments.path,
        help="with --images: folder of pictures in the styles, which tell what is unlike anything "
        "(with --groups these are taken)",
    )
    parser.add_argument(
        "--contents",
        type=arguments.path,
        help="text file of what drawn pictures show, one per line; without it, what the groups "
        "show, or everyday subjects",
    )
    parser.add_argument(
        "--out",
        type=arguments.path,
        help="the file, or a folder for it; without it, the folder of the counterfactuals, where "
        "attribute finds it by itself",
    )
    options.add(parser, ElboConfig)
    options.add(parser, SampleConfig, prefix="sample-")
    cluster.add(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..jobs import basis
    from ..jobs.null import NullRequest, survey
    from ..report.notes import made_of
    from ..scoring.null import GENERATED, REAL
    from ..steps import drain

    cluster.check(args)
    config = options.read(args, ElboConfig)
    sampling = options.read(args, SampleConfig)
    if args.images is None and args.like is not None:
        raise ConfigError(f"like is {args.like}, but there are no images; leave it out.")
    if args.images is not None and args.contents is not None:
        raise ConfigError(
            f"contents is {args.contents}, but the pictures in {args.images} show their own; leave "
            "it out."
        )
    without = without_of(args)
    like, contents = _shown(args)
    backbone = model.load(args)
    origin = GENERATED if args.images is None else REAL
    now = basis.of(backbone, without, config)
    out = place(args.out, args.counterfactuals, now, origin)
    check_folder(out.parent, "out")
    work = survey(
        NullRequest(
            backbone,
            without,
            out,
            args.size,
            tuple(dict.fromkeys(args.prompts)),
            args.images,
            like,
            contents,
            config,
            sampling,
        )
    )
    if args.plan:
        return output.tell(work.price(), args.json)
    parts = out.with_suffix(f".{cluster.PARTS}")
    with Progress() as progress, cluster.measuring(args, backbone, parts) as how:
        pool = drain(work.run(**how), progress)
    told = pool.counts()
    if args.json:
        say(json.dumps({"file": str(out), "origin": pool.origin, "pictures": told}, indent=2))
        return 0
    for line in made_of(told):
        say(line)
    say(f"Null pool: {out}")
    return 0


def place(given: Path | None, made: Path | None, now: Basis, origin: str) -> Path:
    """Where the pool lies: a file that was given, or one in that folder or in the set's."""
    from ..jobs import basis

    if given is not None and given.suffix == ".json":
        return given
    folder = given or made
    if folder is None:
        raise ConfigError("out is missing: styles have no folder of their own; give a file.")
    return folder / basis.file_of(now, origin)


def _shown(args: argparse.Namespace):
    """Pictures in the styles, and what drawn ones show."""
    from ..files.reading import read_text
    from ..groups import load_folder, parse_contents
    from ..groups.contents import CONTENTS
    from ..groups.unrelated import Unrelated, of_folder

    if args.images is not None:
        if args.like is not None:
            return tuple(of_folder(args.like)), CONTENTS
        groups = [] if args.groups is None else load_folder(args.groups, template=args.template)
        examples = ((g.name, e) for g in groups for e in g.examples)
        like = [Unrelated(f"{n}/{e.id}", e.styleless(), e.path) for n, e in examples if e.path]
        return tuple(like), CONTENTS
    if args.contents is not None:
        return (), tuple(parse_contents(read_text(args.contents)))
    if args.groups is None:
        return (), CONTENTS
    groups = load_folder(args.groups, template=args.template)
    shown = dict.fromkeys(e.styleless() for g in groups for e in g.examples)
    return (), tuple(shown) or CONTENTS
