"""Command-line arguments that are refused in one line, and a last word for what the system says."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NoReturn

from ..errors import GudaError, one_line

LONGEST_TEXT = 20_000
"""Characters of a prompt or a template; what a model reads of it is far less."""
MAX_RESOLUTION = 4096


class Parser(argparse.ArgumentParser):
    """argparse, which names input and value, with the remedy in the same line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"guda: {one_line(message)}; see {self.prog} --help.\n")


def path(given: str) -> Path:
    """A path that can be opened and written down; "~" is the home folder in every shell."""
    if not given.strip():
        raise argparse.ArgumentTypeError("'' is empty; give a path")
    return Path(model(given))


def model(given: str) -> str:
    """The name of a model, or its path as `path` has it."""
    return os.path.expanduser(text(given))


def text(given: str) -> str:
    """Text that can be written down and read by a model."""
    if "\0" in given or not _is_unicode(given):
        raise argparse.ArgumentTypeError(
            f"{given!a:.80} holds bytes that are not text; rename the file, or write it in UTF-8"
        )
    if len(given) > LONGEST_TEXT:
        raise argparse.ArgumentTypeError(
            f"{given[:40]!r}... has {len(given)} characters; shorten it to {LONGEST_TEXT}"
        )
    return given


def resolution(given: str) -> int:
    """Pixels, as far as the node allows them."""
    try:
        pixels = int(given)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{given!r:.80} is no whole number of pixels") from None
    if not 0 <= pixels <= MAX_RESOLUTION:
        raise argparse.ArgumentTypeError(
            f"{given[:40]} is not within 0 and {MAX_RESOLUTION}; give pixels, or 0 for the model's "
            "own"
        )
    return pixels


def last_word(error: Exception) -> str | None:
    """What to say of an error that is the system's, not the program's; None for the program's."""
    if isinstance(error, GudaError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory; close other programs, or give less at once."
    if isinstance(error, OSError) and error.strerror:
        named = error.filename if error.filename is not None else "the output"
        return (
            f"{os.fsdecode(named) if not isinstance(named, int) else named} cannot be used "
            f"({error.strerror}); check that it exists, its rights and the room on the disk."
        )
    return None


def _is_unicode(given: str) -> bool:
    try:
        given.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
