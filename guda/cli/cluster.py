"""--cluster: the work of a command on more than one GPU or machine."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, one_line
from . import arguments
from .output import Progress, say

if TYPE_CHECKING:
    from ..bench.benchmark import Benchmark
    from ..bench.named import Named
    from ..cluster.job import Source
    from ..cluster.units import Failure
    from ..counterfactuals import CounterfactualSet
    from ..jobs.unlearn import UnlearnWork

PATIENCE = 900.0
PARTS = "parts"
"""Folder of the finished parts of what is scored, beside the results, until these are there."""
PARTIAL = 1
"""Exit code when some of what was asked for is there and some is not, or cannot be used."""


def add(parser: argparse.ArgumentParser, *, model: bool = True) -> None:
    """model: whether the command takes one, which workers may have elsewhere."""
    section = parser.add_argument_group("cluster")
    section.add_argument(
        "--cluster",
        type=arguments.text,
        metavar="ADDRESS",
        help="the address of a Dask scheduler, as tcp://host:8786, or local: a worker per GPU, or "
        "per two cores; local:2 for two",
    )
    if model:
        section.add_argument(
            "--model-path-on-workers",
            type=arguments.text,
            metavar="PATH",
            help="where workers find the model, if not where it is here",
        )
    section.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help="a unit that makes no step for so long hangs, and is done elsewhere "
        "(default: %(default)g)",
    )
    for name, what in (("ca", "authority"), ("cert", "certificate"), ("key", "key")):
        section.add_argument(
            f"--tls-{name}", type=arguments.path, metavar="FILE", help=f"the cluster's TLS {what}"
        )


def check(args: argparse.Namespace) -> None:
    """Raises ConfigError for options that say nothing without a cluster."""
    options = ("model_path_on_workers", "tls_ca", "tls_cert", "tls_key")
    given = [n for n in options if vars(args).get(n)]
    if given and not args.cluster:
        option = given[0].replace("_", "-")
        raise ConfigError(f"{option} is given without a cluster; give --cluster, or leave it out.")
    if not 1 <= args.patience < float("inf"):
        raise ConfigError(f"patience is {args.patience:g}; give seconds, at least 1.")


def unlearn(
    args: argparse.Namespace, work: UnlearnWork, progress: Progress
) -> tuple[CounterfactualSet, Sequence[Failure]]:
    """What the cluster made, and what it could not."""
    from ..cluster import unlearn as clustered
    from ..steps import drain

    making, backbone = drain(work.drawn(), progress), work.request.backbone
    make_room(backbone)
    model = source(args, backbone)
    with reached(args) as client:
        made = drain(clustered.run(making, client, model, args.patience), progress)
    return made.set, made.failures


def benched(args: argparse.Namespace, named: Named, bench: Benchmark, progress: Progress) -> None:
    """The pieces of a benchmark that are missing, made by the cluster into its folder."""
    from ..cluster import bench as clustered
    from ..steps import drain

    with reached(args) as client:
        asked = (named, bench, args.split, args.only, client, args.patience)
        drain(clustered.run(*asked), progress)


@contextmanager
def measuring(args: argparse.Namespace, backbone: Any, folder: Path):
    """What `run` of a job that scores is given: nothing, or that the cluster measures.

    folder: of the finished parts, until the block ends without an error.
    """
    if not vars(args).get("cluster"):
        yield {}
        return
    from ..cluster.measure import Clustered

    make_room(backbone)
    with reached(args) as client:
        yield {"measure": Clustered(client, source(args, backbone), folder, args.patience)}
    shutil.rmtree(folder, ignore_errors=True)


def make_room(backbone: Any) -> None:
    """The device is the workers'."""
    backbone.move("cpu", rest="cpu")


@contextmanager
def reached(args: argparse.Namespace):
    """The client of the cluster that the options name."""
    from ..cluster.connect import Security, connected

    files = (path and str(path) for path in (args.tls_ca, args.tls_cert, args.tls_key))
    with connected(args.cluster, Security(*files)) as client:
        yield client


def source(args: argparse.Namespace, backbone: Any) -> Source:
    """The model, as the workers load it: from where it was loaded here, unless they have their own.

    Each chooses the device and the precision by the options.
    """
    from ..cluster.job import Source

    told = dict(backbone.source)
    if args.model_path_on_workers:
        told["source"] = args.model_path_on_workers
    return Source(**told, device=args.device, precision=args.precision)


def code(missing: Sequence[Failure]) -> int:
    """The exit code, after one line on stderr for everything that is missing."""
    for failure in missing:
        say(f"guda: missing: {one_line(str(failure))}", file=sys.stderr)
    return PARTIAL if missing else 0


def told(missing: Sequence[Failure]) -> dict[str, Any]:
    """For JSON; nothing where nothing is missing."""
    rows = [{"unit": f.unit.name, "tries": f.tries, "error": f.error} for f in missing]
    return {"missing": rows} if rows else {}


def count(args: argparse.Namespace) -> int:
    """Workers of the cluster that the options name; 1 without one."""
    from ..cluster.connect import LOCAL, workers

    if not args.cluster:
        return 1
    if args.cluster.partition(":")[0] == LOCAL:
        return workers(args.cluster)
    with reached(args) as client:
        there: Any = client.nthreads()
        return max(1, len(there))
