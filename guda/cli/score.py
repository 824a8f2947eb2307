"""python -m guda score: many pictures, a line of JSON each, here or on a cluster."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext

from ..config import ElboConfig
from ..errors import ConfigError
from ..files.destination import check_folder
from . import arguments, attribute, cluster, model, options
from .output import Progress, say

SHARD = 16


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser("score", help="score many pictures: a line of JSON for each")
    model.add(parser)
    attribute.styles_asked(parser)
    parser.add_argument(
        "--pictures",
        type=arguments.path,
        required=True,
        help="a folder (fox.txt beside fox.png is its prompt), a text file of one path per line, "
        "its prompt behind a tab, or a .tar of pictures and prompts",
    )
    parser.add_argument(
        "--prompt", type=arguments.text, default="", help="of pictures that come without one"
    )
    parser.add_argument("--out", type=arguments.path, required=True, help="folder of the scores")
    parser.add_argument(
        "--shard",
        type=int,
        default=SHARD,
        metavar="N",
        help="pictures in a unit of work (default: %(default)s)",
    )
    options.add(parser, ElboConfig)
    cluster.add(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..cluster.pictures import listed
    from ..cluster.score import Scoring
    from ..cluster.score import run as scored
    from ..steps import drain

    check_folder(args.out, "out")
    cluster.check(args)
    if not 1 <= args.shard <= 10_000:
        raise ConfigError(f"shard is {args.shard}; give a number of pictures, 1 to 10000.")
    config = options.read(args, ElboConfig)
    without = attribute.without_of(args)
    listed(args.pictures)
    backbone = model.load(args)
    without.verify(backbone)
    work = Scoring(
        backbone,
        cluster.source(args, backbone),
        without,
        config,
        lambda: listed(args.pictures, args.prompt),
        args.out,
        args.shard,
    )
    if args.plan:
        return _tell(args, work)
    if args.cluster:
        cluster.make_room(backbone)
    with Progress() as progress, cluster.reached(args) if args.cluster else nullcontext() as client:
        made = drain(scored(work, client, args.patience), progress)
    told = {"scores": str(made.file), "pictures": made.rows, "unread": made.unread}
    if args.json:
        say(json.dumps(told | cluster.told(made.failures), indent=2))
    else:
        say(f"{made.rows} pictures; {made.file}")
    if made.unread:
        told = f"{made.unread} of {made.rows} pictures could not be read, and their rows say why"
        say(f"guda: {told}.", file=sys.stderr)
    return cluster.code(made.failures) or (cluster.PARTIAL if made.unread else 0)


def _tell(args: argparse.Namespace, work) -> int:
    """What it will take, by as many workers as there are, without opening a picture."""
    from ..cluster.plan import price
    from . import output

    count = sum(len(u.what["pictures"]) for u in work.units())
    return output.tell(price(work, count, cluster.count(args)), args.json)
