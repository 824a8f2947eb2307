"""python -m guda demo: the whole job on the built-in model."""

from __future__ import annotations

import argparse
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

    check_folder(args.out, "out")
    with Progress() as progress:
        result = run_demo(args.out, progress)
    output.finish(result.attribution, result.report, args.json)
    return 0
