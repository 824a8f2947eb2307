"""A Dask cluster is reached, or started on this machine. Dask is imported here and nowhere earlier.

Everything listens on this machine alone, and no picture, model or result is ever spilled to disk.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ClusterError, first_line

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "local"
SILENT = 50
"""The level below which Dask's own log is not shown."""
ANSWER = 20.0
"""Seconds that a scheduler has to answer in."""
TRIES = 3
"""How often a unit is tried before it is reported."""
ROOT = str(Path(__file__).parents[2])
PRELOAD = (
    f"import sys\nsys.path[:0] = [] if {ROOT!r} in sys.path else [{ROOT!r}]\n"
    "from guda.cluster.quiet import dask_setup\n"
)
"""What a local worker runs first; in ComfyUI this package is found by its folder alone."""
CONFIG = {
    "distributed.worker.memory.target": False,  # Dask spills pickles; nothing of ours does
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.scheduler.allowed-failures": TRIES - 1,
    "distributed.scheduler.worker-ttl": "60s",
    "distributed.worker.profile.enabled": False,  # a hundred looks a second
    "distributed.admin.tick.interval": "500ms",  # of each server; by itself, fifty a second
    "distributed.admin.log-format": "%(message)s",
}


@dataclass(frozen=True)
class Security:
    """TLS of an existing cluster, as `dask scheduler` takes it: files, or none of them."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        given = [n for n in ("ca", "cert", "key") if getattr(self, n)]
        if given and len(given) < 3:
            raise ClusterError(
                f"tls-{' and tls-'.join(given)} is given alone; give --tls-ca, --tls-cert and "
                "--tls-key."
            )

    def of_dask(self) -> Any:
        if not self.ca:
            return None
        from distributed.security import Security as OfDask

        files = {
            f"tls_{side}_{x}": getattr(self, x) for side in ("client",) for x in ("cert", "key")
        }
        return OfDask(tls_ca_file=self.ca, require_encryption=True, **files)


def check(where: str) -> None:
    """Raises ClusterError where Dask is not installed, or no scheduler answers."""
    _imported()
    if where.partition(":")[0] == LOCAL:
        return
    from distributed.comm.addressing import get_address_host_port

    try:  # Dask would try again and again where nobody listens
        socket.create_connection(get_address_host_port(where), ANSWER).close()
    except (OSError, ValueError) as error:
        raise _silent(where, error) from error
    with connected(where):
        pass


@contextmanager
def connected(where: str, security: Security | None = None) -> Iterator[Client]:
    """The client of the cluster at `where`: an address, "local", or "local:N" for N workers.

    A local cluster ends with the block. Raises ClusterError.
    """
    dask, distributed = _imported()
    with dask.config.set(CONFIG):
        if where == LOCAL or where.startswith(f"{LOCAL}:"):
            with _local(distributed, where) as client:
                yield client
            return
        try:
            client = _begun(
                distributed.Client,
                where,
                security=(security or Security()).of_dask(),
                timeout=ANSWER,
                set_as_default=False,
            )
        except (OSError, ValueError, TypeError, ImportError) as error:
            raise _silent(where, error) from error
        try:
            yield client
        finally:
            client.close(timeout=2)


def _silent(where: str, error: Exception) -> ClusterError:
    return ClusterError(
        f"No scheduler answers at {where} ({first_line(error)}); start one with `dask "
        "scheduler`, check address and TLS options, or give local as the cluster."
    )


@contextmanager
def _local(distributed: Any, where: str) -> Iterator[Client]:
    count, devices = workers(where), _gpus()
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // count))
    specs = {}
    for i in range(count):
        env = {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}
        if devices:
            env["CUDA_VISIBLE_DEVICES"] = devices[i % len(devices)]
        options = {"nthreads": 1, "memory_limit": 0, "host": "127.0.0.1", "env": env}
        options |= {"dashboard": False, "silence_logs": SILENT, "preload": [PRELOAD]}
        specs[i] = {"cls": distributed.Nanny, "options": options}
    scheduler = {
        "cls": distributed.Scheduler,
        "options": {"host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0"},
    }
    with _nameless_main():
        try:
            cluster = _begun(
                distributed.SpecCluster,
                workers=specs,
                scheduler=scheduler,
                name=f"guda-{os.getpid()}",
                silence_logs=SILENT,
            )
        except (OSError, RuntimeError) as error:
            raise ClusterError(
                f"No workers could be started here ({first_line(error)}); run without a cluster."
            ) from error
        with cluster, distributed.Client(cluster, set_as_default=False) as client:
            yield client


def _begun(kind: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Dask asserts that a thread of its own begins within ten seconds, which takes longer where
    others keep the machine busy; then it is tried again."""
    for _ in range(TRIES - 1):
        with suppress(AssertionError), _uncollected():
            return kind(*args, **options)
    with _uncollected():
        return kind(*args, **options)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Inside, no garbage is collected: a client that failed before takes the lock, to end itself,
    that one which begins holds, and Dask's lock lets no thread in twice.
    """
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def _nameless_main() -> Iterator[None]:
    """Inside, new processes do not run the program of this one again before their own work.

    ComfyUI's main.py would begin another server in every worker.
    """
    main = vars(sys.modules["__main__"])
    hidden = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main["__spec__"] = None
    main.pop("__file__", None)  # as None, `inspect` would stumble over it
    try:
        yield
    finally:
        main.update(hidden)


def workers(where: str) -> int:
    """How many local workers `where` asks for: by default one per GPU, or per two cores."""
    given = where.partition(":")[2]
    if not given:
        return len(_gpus()) or max(1, (os.cpu_count() or 1) // 2)
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= 1024):
        raise ClusterError(
            f"cluster is {where!r}; give local, local:2 or the address of a scheduler, as "
            "tcp://10.0.0.1:8786."
        )
    return int(given)


def _gpus() -> list[str]:
    """The CUDA devices that this process sees, by the names that a child is given."""
    import torch

    count = torch.cuda.device_count()
    names = [n for n in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if n.strip()]
    return names[:count] if names else [str(i) for i in range(count)]


def _imported() -> tuple[Any, Any]:
    try:
        import dask
        import distributed
    except ImportError as error:
        raise ClusterError(
            f"A cluster needs Dask, which is not installed ({first_line(error)}); run "
            'pip install "guda-attribution[cluster]" (in ComfyUI: pip install distributed), or '
            "leave the cluster out."
        ) from None
    return dask, distributed
