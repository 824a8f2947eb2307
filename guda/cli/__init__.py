"""python -m guda: the whole job without ComfyUI; a module per command."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from ..errors import one_line
from ..version import __version__
from . import (
    arguments,
    attribute,
    bench,
    check,
    demo,
    evidence,
    groups,
    null,
    report,
    score,
    sign,
    styles,
    unlearn,
    verify,
)
from .output import Progress, say
from .stopping import Terminated, terminable

__all__ = ["Progress", "main"]

COMMANDS = (
    demo, groups, styles, unlearn, null, attribute, score, report, evidence, sign, verify,
    check, bench
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code.

    0: all is well; 1: the work is done, but not all that came of it can be used, as stderr says;
    2: bad input, named in one line on stderr; as a shell has it for what a signal ended.
    """
    if isinstance(sys.stdout, TextIOWrapper):  # a name that a Windows code page lacks is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    args = parser().parse_args(argv)
    _say_encoding()
    try:
        with terminable():
            code = args.run(args)
        sys.stdout.flush()  # a full disk is told here, or by the interpreter with a traceback
        return code
    except BrokenPipeError:  # who read the output has seen enough, as `head` has
        _hush()
        return 141
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None:
            _hush()
        told = arguments.last_word(error)
        if told is None:
            raise
        say(f"guda: {one_line(told)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        say("guda: stopped; what was finished is kept, run again to continue.", file=sys.stderr)
        return 143 if isinstance(error, Terminated) else 130  # 128 and the signal's number


def _say_encoding() -> None:
    """A style of the name "café" would be asked for as "cafÃ©", and nobody would know."""
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8":
        say(
            f"guda: warning: names of files and prompts are read as {encoding}, as the locale has "
            "it, so that letters beyond English ones become others; set PYTHONUTF8=1 against that.",
            file=sys.stderr,
        )


def _hush() -> None:
    """Nothing more to stdout, which cannot be written to: the interpreter would try at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = arguments.Parser(
        prog="guda", description="Which style groups did this model learn this image from?"
    )
    top.add_argument("--version", action="version", version=f"guda {__version__}")
    commands = top.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add(commands)
    return top
