"""Command-line options made from the settings dataclasses: same names, help, defaults, checks."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TypeVar

from ..settings import Settings, of_model

S = TypeVar("S", bound=Settings)


def add(parser: argparse.ArgumentParser, kind: type[Settings], prefix: str = "") -> None:
    """One option per field of `kind`, `--<prefix><name>`; None where the model sets the default."""
    section = parser.add_argument_group(kind.__name__)
    for f in dataclasses.fields(kind):  # type: ignore[arg-type]
        large = f.metadata["large"]
        told = (
            "%(default)s"
            if large is None
            else "{}, or {} for Stable Diffusion".format(*of_model(f))
        )
        section.add_argument(
            f"--{prefix}{f.name.replace('_', '-')}",
            dest=f"{kind.__name__}.{f.name}",
            type=type(f.default),
            choices=f.metadata["choices"] or None,
            default=f.default if large is None else None,
            help=f.metadata["help"].replace("%", "%%") + f" (default: {told})",
            metavar=None if f.metadata["choices"] else f.name.upper(),
        )


def read(args: argparse.Namespace, kind: type[S], base: S | None = None) -> S:
    """The settings that the options gave, the others from `base`. Raises ConfigError."""
    names = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    values = {n: getattr(args, f"{kind.__name__}.{n}") for n in names}
    return (base or kind()).replace(**{n: v for n, v in values.items() if v is not None})
