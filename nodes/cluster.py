"""The input `cluster`: what a node has to do is done by workers, on GPUs or machines of their own.

Dask's processes trust each other: whoever a ComfyUI connects to can run code in it. A workflow may
be a stranger's, so it may name this machine alone, and what the server's owner allows.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from comfy_api.latest import io

from ..guda.errors import ClusterError, ConfigError, ModelError
from . import places, settings
from .progress import Together
from .runtime import compute_device, run

if TYPE_CHECKING:
    from ..guda.cluster.job import Source
    from ..guda.counterfactuals import CounterfactualSet, SetWork
    from ..guda.jobs.attribute import AttributeWork
    from ..guda.scoring.verdict import Attribution

ALLOWING = "GUDA_CLUSTERS"
"""The variable in which a server's owner names schedulers elsewhere."""
PATIENCE = 900.0
HOW = "give local, local:2 or a scheduler's address, as tcp://127.0.0.1:8786, or leave it empty"


def cluster_input():
    return settings.advanced(
        io.String.Input(
            "cluster",
            optional=True,
            default="",
            tooltip="More than one GPU or machine: local (a worker per GPU, or per two cores), "
            "local:2 for two workers, or the address of a Dask scheduler. Empty: this process "
            "alone. Needs the package distributed; the answers are the same.",
        )
    )


@dataclass(frozen=True)
class Cluster:
    """Where the work is done, and how workers load the model."""

    where: str
    source: Source


def chosen(given: str | None, model: Any) -> Cluster | None:
    """None for none. Raises ConfigError, ModelError or ClusterError on what cannot be."""
    from ..guda.cluster.connect import LOCAL, check, workers
    from ..guda.cluster.job import Source

    if not (where := (given or "").strip()):
        return None
    if inside := where.partition(":")[0] == LOCAL:
        most = max(2, os.cpu_count() or 1)
        if workers(where) > most:
            raise ConfigError(f"cluster is {where!r}, but this machine has room for {most}; {HOW}.")
    else:
        where, inside = _address(where)
    if (source := getattr(model, "source", None)) is None:
        raise ModelError(
            f"The model {model.name} cannot be loaded by the workers of a cluster: it is of the "
            "graph (Base Model from Graph), or has a VAE of the graph. Use Load Base Model without "
            "vae, or leave cluster empty."
        )
    if not inside:  # there, ComfyUI may lie elsewhere
        source = {k: v for k, v in source.items() if k != "tokenizer"}
    check(where)
    device = "cpu" if inside and compute_device().type == "cpu" else "auto"
    return Cluster(where, Source(**source, device=device, precision=model.precision))


def unlearned(making: SetWork, cluster: Cluster, note: str) -> CounterfactualSet:
    """What is left of the set, made by the cluster. Raises ClusterError where some is missing."""
    from ..guda.cluster import unlearn
    from ..guda.cluster.connect import connected

    with connected(cluster.where) as client:
        steps = unlearn.run(making, client, cluster.source, PATIENCE)
        made = run(steps, Together("and the last states of the others"), note)
    if made.failures:
        raise ClusterError(
            f"{made.failures[0]}. {len(made.set.entries)} of {len(making.chosen)} styles are "
            "finished and kept; queue again to go on."
        )
    return made.set


def check(work: AttributeWork) -> None:
    """Raises ConfigError for what cannot be asked of a cluster."""
    from ..guda.cluster.measure import check

    check(work)


def attributed(work: AttributeWork, cluster: Cluster, note: str) -> Attribution:
    """The answer, asked of the cluster unless an earlier run has it."""
    from ..guda.cluster.connect import connected
    from ..guda.cluster.measure import Clustered
    from ..guda.jobs import kept

    if kept.is_known(work):
        return run(work.run(), Together(), note)
    folder = places.parts_folder()
    with connected(cluster.where) as client:
        asking = Clustered(client, cluster.source, folder, PATIENCE)
        measure = partial(kept.measured, measure=asking)
        answer = run(work.run(measure=measure), Together(), note)
    shutil.rmtree(folder, ignore_errors=True)
    return answer


def _address(given: str) -> tuple[str, bool]:
    """As Dask takes it, and whether it is of this machine. Raises ConfigError."""
    try:
        parts = urlsplit(given if "://" in given else f"tcp://{given}")
        host, port = parts.hostname or "", parts.port or 8786
    except ValueError:
        host = ""
    if not re.fullmatch(r"[0-9A-Za-z.:_-]+", host) or parts.scheme not in ("tcp", "tls"):
        raise ConfigError(f"cluster is {given!r}; {HOW}.")
    where = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    if _is_here(host):
        return where, True
    if where not in re.split(r"[\s,]+", os.environ.get(ALLOWING, "")):
        raise ConfigError(
            f"cluster is {where}, which is not on this machine, and whoever answers there could "
            "run code in this ComfyUI. If it is yours, allow it by the environment variable "
            f"{ALLOWING} and start ComfyUI again; or {HOW}."
        )
    return where, False


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
