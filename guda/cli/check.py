"""python -m guda check: everything once, on a model that nobody tried before."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..config import MemoryConfig, SampleConfig, UnlearnConfig
from ..errors import ConfigError
from ..files.destination import check_folder
from . import arguments, model, options, output
from .output import Progress, say
from .unlearn import RECOVERY

FILE = "check.json"
STYLES = ("Vincent van Gogh: Vincent van Gogh", "Katsushika Hokusai: Katsushika Hokusai")
ASKED = 2
"""The last contents are not unlearned with, but asked about."""


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "check",
        help="try everything once on a model, and write what was measured to one file",
        epilog="Exit code: 0 when the model works; 1 when it does not; 2 for bad input.",
    )
    model.asks(parser, needed=True)
    parser.add_argument(
        "--style",
        action="append",
        type=arguments.text,
        metavar="'NAME: PHRASE'",
        help="a style that the model knows, at least two; without it, two painters, or two of the "
        "built-in model's styles",
    )
    parser.add_argument(
        "--contents",
        type=arguments.path,
        help="text file of what the pictures show, one per line, at least three; without it, "
        "everyday subjects",
    )
    parser.add_argument(
        "--template",
        type=arguments.text,
        help="how a caption is made, e.g. '{content}, by {style}'",
    )
    parser.add_argument(
        "--out",
        type=arguments.path,
        default=Path("guda-check"),
        help=f"folder of what is made, and of {FILE} (default: %(default)s)",
    )
    parser.add_argument("--recovery", action="store_true", help=RECOVERY)
    options.add(parser, UnlearnConfig)
    options.add(parser, SampleConfig, prefix="sample-")
    options.add(parser, MemoryConfig)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..files import write_text
    from ..jobs.check import CheckRequest, survey
    from ..steps import drain
    from ..unlearning.recipe import recommended

    options.read(args, UnlearnConfig)
    sampling, memory = options.read(args, SampleConfig), options.read(args, MemoryConfig)
    check_folder(args.out, "out")
    groups, contents = _groups(args, sampling.pictures)
    backbone = model.load(args)
    recipe = options.read(args, UnlearnConfig, recommended(backbone))
    told = (backbone, groups, contents, args.out, recipe, sampling, memory)
    work = survey(CheckRequest(*told, recovery=args.recovery))
    if args.plan:
        return output.tell(work.price(), args.json)
    with Progress() as progress:
        checked = drain(work.run(), progress)
    text = json.dumps(checked.as_dict(), indent=1)
    write_text(args.out / FILE, text)
    say(text if args.json else f"{checked}\nTo attach to a report: {args.out / FILE}")
    return 0 if checked.works else 1


def _groups(args: argparse.Namespace, pictures: int):
    """The groups to unlearn, and the contents to ask about."""
    from .. import demo
    from ..backbone.files.load import DEMO
    from ..files.reading import read_text
    from ..groups import from_prompts, parse_contents, parse_styles
    from ..groups.contents import CONTENTS

    styles, contents = STYLES, CONTENTS
    if args.model == DEMO:
        styles = tuple(f"{name}: {phrase}" for name, phrase in list(demo.STYLES.items())[2:4])
        contents = demo.CONTENTS
    if args.contents is not None:
        contents = parse_contents(read_text(args.contents))
        if len(contents) <= ASKED:
            raise ConfigError(
                f"contents is {args.contents}, which lists {len(contents)}; list {ASKED + 1} at "
                f"least, as the last {ASKED} are asked about."
            )
    template = {"template": args.template} if args.template else {}
    named = parse_styles("\n".join(args.style or styles))
    groups = from_prompts(named, contents[:-ASKED], pictures=pictures, **template)
    return groups, contents[-ASKED:]
