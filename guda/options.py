"""Command-line options made from the settings dataclasses: same names, help, defaults, checks."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any, TypeVar

from .config import Settings

S = TypeVar("S", bound=Settings)


def add(
    parser: argparse.ArgumentParser, kind: type[Settings], prefix: str = "", base: Any = None
) -> None:
    """One option per field of `kind`, `--<prefix><name>`; defaults from `base`, else the class."""
    section = parser.add_argument_group(kind.__name__)
    for f in dataclasses.fields(kind):  # type: ignore[arg-type]
        default = getattr(base, f.name) if base is not None else f.default
        section.add_argument(
            f"--{prefix}{f.name.replace('_', '-')}",
            dest=f"{kind.__name__}.{f.name}",
            type=type(f.default),
            choices=f.metadata["choices"] or None,
            default=default,
            help=f.metadata["help"].replace("%", "%%") + " (default: %(default)s)",
            metavar=None if f.metadata["choices"] else f.name.upper(),
        )


def read(args: argparse.Namespace, kind: type[S]) -> S:
    """The settings that the options gave. Raises ConfigError."""
    names = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{n: getattr(args, f"{kind.__name__}.{n}") for n in names})
