"""What the scripts that go on from `guda bench styles` share: no script itself."""

from __future__ import annotations

import argparse
from pathlib import Path

from guda.bench import styles
from guda.bench.oracle import Trained
from guda.steps import Steps


def options(parser: argparse.ArgumentParser, *, needed: bool = True) -> None:
    """Those of `guda bench styles` that say which models and questions they are.

    needed: False where a script goes on from other models as well.
    """
    parser.add_argument("--data", type=Path, required=needed)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--out", type=Path, default=Path("guda-bench"))


def trained(args: argparse.Namespace) -> Steps[Trained]:
    """The benchmark's full model, read from --out or trained there."""
    out = args.out / "styles"
    return Trained.of(styles.benchmark(out, False, args.data, args.base), out)
