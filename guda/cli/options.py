"""Command-line options made from the settings dataclasses: same names, help, defaults, checks."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TypeVar

from ..settings import Settings

S = TypeVar("S", bound=Settings)


def add(parser: argparse.ArgumentParser, kind: type[Settings], prefix: str = "") -> None:
    """One option per field of `kind`, `--<prefix><name>`; None where the model sets the default."""
    section = parser.add_argument_group(kind.__name__)
    for f in dataclasses.fields(kind):  # type: ignore[arg-type]
        large = f.metadata["large"]
        told = "%(default)s" if large is None else _of_model(f)
        section.add_argument(
            f"--{prefix}{f.name.replace('_', '-')}",
            dest=f"{kind.__name__}.{f.name}",
            type=type(f.default),
            choices=f.metadata["choices"] or None,
            default=f.default if large is None else None,
            help=f.metadata["help"].replace("%", "%%") + f" (default: {told})",
            metavar=None if f.metadata["choices"] else f.name.upper(),
        )


def _of_model(f: dataclasses.Field) -> str:
    """The default of a setting that the model decides."""
    small, large = (v if isinstance(v, str) else f"{v:g}" for v in (f.default, f.metadata["large"]))
    return f"{small}, or {large} for Stable Diffusion"


def read(args: argparse.Namespace, kind: type[S], base: S | None = None) -> S:
    """The settings that the options gave, the others from `base`. Raises ConfigError."""
    names = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    values = {n: getattr(args, f"{kind.__name__}.{n}") for n in names}
    return (base or kind()).replace(**{n: v for n, v in values.items() if v is not None})
