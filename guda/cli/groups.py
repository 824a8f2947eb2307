"""python -m guda groups: what is read of a folder of styles, guessed, and left out."""

from __future__ import annotations

import argparse
import json

from . import arguments
from .output import say


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser("groups", help="what is read of a folder of styles, and what not")
    parser.add_argument("folder", type=arguments.path, help="folder with one subfolder per style")
    parser.add_argument(
        "--template",
        type=arguments.text,
        help="how a caption is made, e.g. '{content}, by {style}'",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..groups import check_pictures, load_folder, telling

    groups = load_folder(args.folder, template=args.template)
    check_pictures(groups)
    told = json.dumps(telling.to_dict(groups), indent=2) if args.json else telling.to_text(groups)
    say(told)
    return 0
