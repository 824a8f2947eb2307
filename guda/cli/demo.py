"""python -m guda demo: the whole job on the built-in model."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ..files.destination import check_folder
from . import arguments, output
from .output import Progress


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser("demo", help="the whole job on the built-in model")
    parser.add_argument(
        "--out", type=arguments.path, default=Path("guda-demo"), help="where results go"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..demo.run import run_demo
    from ..report.notes import null_notes
    from ..report.tables import to_comparison
    from ..report.wording import verdict_sentence as sentence

    check_folder(args.out, "out")
    started = time.monotonic()

    def first(answer) -> None:
        if not args.json:
            seconds = time.monotonic() - started
            output.say(f"First answers, after {seconds:.0f} s and without any unlearning:")
            for image in answer.images:
                output.say(f"  {image.image}: {sentence(image, 'nats')}")
            for note in null_notes(answer):
                output.say(f"  {note}")
            output.say(f"  Report: {args.out / 'direct' / 'report.html'}\n")

    with Progress() as progress:
        result = run_demo(args.out, progress, first)
    output.finish(result.attribution, result.report, args.json)
    if not args.json:
        output.say(f"\n{to_comparison(result.direct, result.attribution)}")
    return 0
