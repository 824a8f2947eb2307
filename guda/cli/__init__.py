"""python -m guda: the whole job without ComfyUI; a module per command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from ..errors import GudaError
from ..version import __version__
from . import attribute, bench, demo, groups, unlearn
from .output import Progress
from .stopping import Terminated, terminable

__all__ = ["Progress", "main"]

COMMANDS = (demo, groups, unlearn, attribute, bench)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, or 2 after one line on stderr for bad input."""
    if isinstance(sys.stdout, TextIOWrapper):  # a name that a Windows code page lacks is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    args = parser().parse_args(argv)
    try:
        with terminable():
            return args.run(args)
    except GudaError as error:
        print(f"guda: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print("guda: stopped; what was finished is kept, run again to continue.", file=sys.stderr)
        return 143 if isinstance(error, Terminated) else 130  # 128 and the signal's number


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="guda", description="Which style groups did this model learn this image from?"
    )
    top.add_argument("--version", action="version", version=f"guda {__version__}")
    commands = top.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add(commands)
    return top
