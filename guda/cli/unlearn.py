"""python -m guda unlearn: a counterfactual LoRA per style."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..config import MemoryConfig, SampleConfig, UnlearnConfig
from . import model, options, output
from .output import Progress


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser("unlearn", help="make counterfactual LoRAs, resumable")
    model.add(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--groups", type=Path, help="folder with one subfolder per style")
    source.add_argument(
        "--styles", type=Path, help="text file of prompt-only styles, 'Name: phrase' per line"
    )
    parser.add_argument(
        "--contents",
        type=Path,
        help="text file of what prompt-only groups show, one per line; "
        "without it, everyday subjects",
    )
    parser.add_argument("--template", help="how a caption is made, e.g. '{content}, by {style}'")
    parser.add_argument("--out", type=Path, required=True, help="folder of the set")
    options.add(parser, UnlearnConfig)
    options.add(parser, SampleConfig, prefix="sample-")
    options.add(parser, MemoryConfig)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..files.reading import read_text
    from ..groups import (
        check_pictures,
        from_prompts,
        load_folder,
        parse_contents,
        parse_styles,
        telling,
    )
    from ..groups.contents import CONTENTS
    from ..jobs.plan import plan_unlearn
    from ..jobs.unlearn import UnlearnRequest, unlearn
    from ..steps import drain
    from ..unlearning.recipe import recommended

    options.read(args, UnlearnConfig)  # what is wrong is refused before the model is loaded
    sampling, told = options.read(args, SampleConfig), ""
    if args.groups is not None:
        groups = load_folder(args.groups, template=args.template)
        check_pictures(groups)
        told = telling.to_text(groups, short=True)
    else:
        template = {"template": args.template} if args.template else {}
        groups = from_prompts(
            parse_styles(read_text(args.styles)),
            CONTENTS if args.contents is None else parse_contents(read_text(args.contents)),
            pictures=sampling.pictures,
            **template,
        )
    backbone = model.load(args)
    request = UnlearnRequest(
        backbone,
        groups,
        args.out,
        options.read(args, UnlearnConfig, recommended(backbone)),
        args.style,
        sampling,
        memory=options.read(args, MemoryConfig),
    )
    if args.plan:
        return output.tell(plan_unlearn(request), args.json, told)
    with Progress(told) as progress:
        made = drain(unlearn(request), progress)
    if args.json:
        rows = [
            {"group": e.name, "file": str(made.path(e))} | e.gate.as_dict() for e in made.entries
        ]
        told = {"folder": str(made.folder), "groups": rows, "warnings": made.warnings}
        print(json.dumps(told, indent=2))
        return 0
    for entry in made.entries:
        state = "passed" if entry.gate.passed else "REFUSED"
        print(f"{entry.name}: {state}, {entry.gate.reason}; {made.path(entry)}")
    return 0
