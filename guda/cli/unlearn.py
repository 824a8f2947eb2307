"""python -m guda unlearn: a counterfactual LoRA per style."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..config import MemoryConfig, SampleConfig, UnlearnConfig
from ..errors import ConfigError, one_line
from ..files.destination import check_folder
from . import arguments, cluster, model, options, output
from .output import Progress, say

if TYPE_CHECKING:
    from ..cluster.units import Failure
    from ..counterfactuals import CounterfactualSet

RECOVERY = (
    "measure for every certificate how many steps on four of its pictures bring a style back, "
    "against a look that was never there"
)
EXIT = (
    "Exit code: 0 when every LoRA can be used; 1 when one of them cannot, as it is refused, broken "
    "or missing (stderr says which, and what to do); 2 for bad input."
)


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "unlearn", help="make counterfactual LoRAs, resumable", epilog=EXIT
    )
    model.add(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--groups", type=arguments.path, help="folder with one subfolder per style")
    source.add_argument(
        "--styles",
        type=arguments.path,
        help="text file of prompt-only styles, 'Name: phrase' per line",
    )
    parser.add_argument(
        "--contents",
        type=arguments.path,
        help="text file of what prompt-only groups show, one per line; "
        "without it, everyday subjects",
    )
    parser.add_argument(
        "--template",
        type=arguments.text,
        help="how a caption is made, e.g. '{content}, by {style}'",
    )
    parser.add_argument("--out", type=arguments.path, required=True, help="folder of the set")
    parser.add_argument(
        "--screen",
        type=int,
        metavar="N",
        help="only the N styles that the model's own answers put first for the pictures in --image",
    )
    parser.add_argument(
        "--image", type=arguments.path, nargs="+", help="pictures to be asked about, for --screen"
    )
    parser.add_argument(
        "--prompt",
        action="append",
        type=arguments.text,
        help="what they show, for --screen; once for all, or per picture",
    )
    parser.add_argument(
        "--sheet",
        action="store_true",
        help="draw a picture beside every LoRA: asked for the style, and for one that was kept, "
        "with it and without it",
    )
    parser.add_argument("--recovery", action="store_true", help=RECOVERY)
    options.add(parser, UnlearnConfig)
    options.add(parser, SampleConfig, prefix="sample-")
    options.add(parser, MemoryConfig)
    cluster.add(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..counterfactuals import rate
    from ..counterfactuals.held import is_read_only
    from ..counterfactuals.set import MANIFEST
    from ..groups import pictures
    from ..jobs.after import After
    from ..jobs.unlearn import UnlearnRequest, survey
    from ..report.sheet import with_and_without
    from ..steps import drain
    from ..unlearning.recipe import recommended

    options.read(args, UnlearnConfig)  # what is wrong is refused before the model is loaded
    sampling = options.read(args, SampleConfig)
    memory = options.read(args, MemoryConfig)
    if not (is_read_only(args.out) and (args.out / MANIFEST).is_file()):  # it may be finished
        check_folder(args.out, "out")
    cluster.check(args)
    if (args.screen is None) != (args.image is None):
        raise ConfigError(
            f"screen is {args.screen} and image is {args.image}; give both, as styles are screened "
            "for pictures, or none."
        )
    if args.groups is not None and args.contents is not None:
        raise ConfigError(
            f"contents is {args.contents}, but the groups of {args.groups} have pictures; leave it "
            "out, or give styles in place of groups."
        )
    groups, told = _groups(args, sampling)
    for path in args.image or []:
        pictures.check(path)
    backbone = model.load(args)
    names, told = _screened(args, backbone, groups, told)
    request = UnlearnRequest(
        backbone,
        groups,
        args.out,
        options.read(args, UnlearnConfig, recommended(backbone)),
        names,
        sampling,
        memory=memory,
    )
    work, more = survey(request), After(args.recovery, with_and_without if args.sheet else None)
    if args.plan:
        return output.tell(more.priced(work), args.json, told)
    with Progress(told) as progress:
        if args.cluster:
            made, missing = cluster.unlearn(args, work, progress)
        else:
            made, missing = drain(work.run(), progress), ()
        made = drain(more.of(work, made), progress)
    if args.json:
        rows = [
            {"group": e.name, "file": str(made.path(e)), "usable": e.passed}
            | e.gate.as_dict()
            | {"certificate": e.certificate and e.certificate.as_dict(e.gate)}
            | ({"ended": [x.as_dict() for x in e.ended]} if e.ended else {})
            for e in made.entries
        ]
        told = {"folder": str(made.folder), "groups": rows, "warnings": made.warnings}
        told |= {"learning_rate": rate.as_dict(made.trials)} if made.trials else {}
        told |= cluster.told(missing)
        say(json.dumps(told, indent=2))
        return _code(made, missing)
    if made.rate:
        say(one_line(made.rate, 10_000))
    for entry in made.entries:
        state = "passed" if entry.passed else "REFUSED"
        say(one_line(f"{entry.name}: {state}, {entry.standing}; {made.path(entry)}", 10_000))
    return _code(made, missing)


def _code(made: CounterfactualSet, missing: Sequence[Failure]) -> int:
    """The exit code, after a line on stderr for everything that cannot be used."""
    for text in made.refusals:
        say(f"guda: refused: {one_line(text)}", file=sys.stderr)
    return cluster.code(missing) or (cluster.PARTIAL if made.refusals else 0)


def _groups(args: argparse.Namespace, sampling: SampleConfig):
    """The groups, and what is told of a folder's before anything runs."""
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

    if args.groups is not None:
        groups = load_folder(args.groups, template=args.template)
        check_pictures(groups)
        return groups, telling.to_text(groups, short=True)
    template = {"template": args.template} if args.template else {}
    contents = CONTENTS if args.contents is None else parse_contents(read_text(args.contents))
    styles = parse_styles(read_text(args.styles))
    return from_prompts(styles, contents, pictures=sampling.pictures, **template), ""


def _screened(args: argparse.Namespace, backbone, groups, told: str):
    """The styles to unlearn (None: all of them), and what is told of how they were chosen."""
    from ..config import ElboConfig
    from ..counterfactuals.direct import DirectCounterfactuals
    from ..groups import pictures
    from ..jobs.attribute import AttributeRequest
    from ..jobs.screen import screen
    from ..steps import drain

    if args.screen is None:
        return args.style, told
    loaded = [pictures.load(path, backbone.resolution) for path in args.image]
    request = AttributeRequest(
        backbone,
        DirectCounterfactuals.of(groups),
        loaded,
        [p.name for p in args.image],
        args.prompt or [""],
        ElboConfig(),
    )
    with Progress(told) as progress:
        names = drain(screen(request, groups, args.screen, args.style), progress)
    count = len(args.style or groups.names)
    return names, f"Of {count} styles, those to unlearn for the pictures: {', '.join(names)}."
