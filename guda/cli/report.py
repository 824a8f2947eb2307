"""python -m guda report: pages of some of the pictures that `guda score` scored."""

from __future__ import annotations

import argparse
from itertools import islice

from ..config import ElboConfig
from ..errors import ConfigError, ImageError
from ..files.destination import check_folder
from . import arguments, attribute, model, options

MOST = 50


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser("report", help="pages of some of many pictures that were scored")
    model.add(parser)
    attribute.styles_asked(parser)
    parser.add_argument(
        "--pictures", type=arguments.path, required=True, help="as `guda score` was given them"
    )
    parser.add_argument(
        "--prompt", type=arguments.text, default="", help="of pictures that come without one"
    )
    parser.add_argument(
        "--only",
        action="append",
        type=arguments.text,
        help=f"a picture's name, as its row has it; may be repeated, without it the first {MOST}",
    )
    parser.add_argument("--out", type=arguments.path, required=True, help="where the report goes")
    options.add(parser, ElboConfig)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..cluster.pictures import listed
    from ..jobs.against import of_set
    from ..jobs.attribute import AttributeRequest, survey
    from ..jobs.shapes import sizes

    check_folder(args.out, "out")
    config, without = options.read(args, ElboConfig), attribute.without_of(args)
    wanted, rows = set(args.only or ()), listed(args.pictures, args.prompt)
    chosen = [w for w in rows if w.name in wanted] if wanted else list(islice(rows, MOST))
    if missing := sorted(wanted - {w.name for w in chosen}):
        raise ConfigError(f"only is {missing[0]!r}, which is not in {args.pictures}; see its rows.")
    if not chosen:
        raise ImageError(f"There are no pictures in {args.pictures}; give those that were scored.")
    backbone = model.load(args)
    size = sizes(backbone, config)
    loaded = [w.load(size) for w in chosen]
    names, prompts = [w.name for w in chosen], [w.prompt for w in chosen]
    pool, file = of_set(without, backbone, config)
    request = AttributeRequest(
        backbone, without, loaded, names, prompts, config, null=pool, null_file=file
    )
    return attribute.told(args, survey(request))
