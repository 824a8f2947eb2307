"""A benchmark's pieces on a cluster: every retraining without a group, and every method's scores.

The full model is trained here first, as all else needs it; rows that share a set of counterfactuals
are one unit. What is compared with what is computed here, of the files that the workers wrote.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ..bench.benchmark import Benchmark
from ..bench.keep import is_kept
from ..bench.named import Named
from ..bench.oracle import Asked, Trained
from ..bench.run import forget, place, rows_of
from ..errors import ClusterError
from ..settings import digest
from ..steps import Steps
from .board import Board
from .job import Unit, bare
from .marked import marked
from .units import Units

if TYPE_CHECKING:
    from distributed import Client


def run(
    named: Named,
    bench: Benchmark,
    split: str,
    again: Collection[str],
    client: Client,
    patience: float,
) -> Steps[None]:
    """All pieces that are missing. Raises ClusterError where one was given up."""
    trained = yield from Trained.of(bench, named.out)
    asked = yield from trained.asked(split)
    forget(asked, again)
    units = [*_retrainings(asked), *_rows(asked)]
    if not units:
        return
    told = bare(named.out, patience, bench=named.told(), split=split)
    board = Board("bench", units, client.dashboard_link or "")
    with marked(named.out, told):
        running = Units(client, told, board, lambda unit, answer: [], ahead=1)
        failures = yield from running.run(units)
    if failures:
        raise ClusterError(
            f"{failures[0]}. {len(units) - len(failures)} of {len(units)} units are finished and "
            "kept; run again to go on."
        )


def _retrainings(asked: Asked) -> list[Unit]:
    units = []
    for seed in asked.trained.bench.seeds:
        for group in asked.trained.bench.groups:
            path, key = asked.place(seed, group)
            if not is_kept(path, key):
                name = f"without {group.name}, seed {seed}"
                units.append(Unit(key, "bench", name, 1, {"seed": seed, "group": group.name}))
    return units


def _rows(asked: Asked) -> list[Unit]:
    """Those first that unlearn, which take longest."""
    together: dict[str, list[str]] = {}
    for name in rows_of(asked):
        if is_kept(*place(asked, name)):
            continue
        method = asked.trained.bench.guda.get(name)
        shared = name if method is None else str(method.folder(asked.trained.out))
        together.setdefault(shared, []).append(name)
    return [
        Unit(digest(asked.key, names), "bench", " and ".join(names), 1, {"rows": names})
        for names in together.values()
    ]
