"""Many pictures on two processes against one, and what that means for more: docs/scale.md.

python benchmarks/scale.py [--pictures 200] [--styles 5] [--rounds 2]

The built-in model answers directly, few evaluations a picture. Serial and clustered runs take
turns on the same pictures, so that what else the machine does falls on both; CPU seconds of all
processes stand beside the wall clock, as they tell of the work alone.
"""

from __future__ import annotations

import argparse
import heapq
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guda.api import load_model
from guda.cluster.board import Board
from guda.cluster.connect import connected
from guda.cluster.job import Source, job
from guda.cluster.marked import marked
from guda.cluster.pictures import listed
from guda.cluster.score import Scoring, run
from guda.cluster.score_unit import told_of
from guda.cluster.units import Units
from guda.config import ElboConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.groups.pictures import save_png
from guda.steps import drain

PROCESSES = 2


def cpu_and_memory() -> tuple[float, float]:
    """CPU seconds of this process and its children so far, and the largest one's megabytes."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    spent = sum(p.cpu_times().user + p.cpu_times().system for p in processes)
    return spent, max(p.memory_info().rss for p in processes) / 1e6


def write_pictures(folder: Path, count: int, side: int) -> None:
    folder.mkdir()
    for i in range(count):
        rng = torch.Generator().manual_seed(i)
        save_png(torch.rand(3, side, side, generator=rng), folder / f"{i:05d}.png")


def simulated(times: list[float], count: int, workers: int, setup: float, own: float) -> float:
    """Seconds until `count` units are done. times: of a unit, in turn; setup: of a worker; own: of
    the one process that gives units out and takes results."""
    free = [setup] * workers
    heapq.heapify(free)
    given = last = 0.0
    for i in range(count):
        given = max(given + own, 0.0)
        end = max(heapq.heappop(free), given) + times[i % len(times)]
        heapq.heappush(free, end)
        last = max(last, end)
    return last


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--styles", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--shard", type=int, default=16)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    backbone, source = load_model("demo", device="cpu"), Source("demo", device="cpu")
    styles = tuple((f"Style {i}", f"style{i}") for i in range(asked.styles))
    without = DirectCounterfactuals(styles)
    rows: dict[str, list[tuple[float, float, float]]] = {"serial": [], "cluster": []}
    with tempfile.TemporaryDirectory() as name, connected(f"local:{PROCESSES}") as client:
        root = Path(name)
        write_pictures(root / "pictures", asked.pictures, backbone.resolution)

        def scoring(out: str) -> Scoring:
            pictures = root / "pictures"
            config = ElboConfig(evaluations=4)
            return Scoring(
                backbone, source, without, config, lambda: listed(pictures), root / out, asked.shard
            )

        def measured(out: str, where) -> tuple[float, float, float]:
            begun, before = time.monotonic(), cpu_and_memory()[0]
            drain(run(scoring(out), where))
            after, memory = cpu_and_memory()
            return time.monotonic() - begun, after - before, memory

        started = time.monotonic()
        measured("warm", client)
        setup = time.monotonic() - started
        for i in range(asked.rounds):
            rows["serial"].append(measured(f"serial{i}", None))
            rows["cluster"].append(measured(f"cluster{i}", client))
            one, two = ((root / f"{w}{i}" / "scores.jsonl").read_bytes() for w in rows)
            assert one == two, "the scores differ"
        work = scoring("warm")
        units = list(work.units())
        told = job(
            backbone, source, work.out, 60.0, without=told_of(without), config=work.config.as_dict()
        )
        answers: list[dict] = []
        with marked(work.out, told):
            for _ in range(2):  # finished units: what it costs to give one out; the first loads
                begun = time.monotonic()
                board = Board("score", (), "", len(units))
                drain(Units(client, told, board, lambda _, t: answers.append(t) or []).run(units))
                overhead = (time.monotonic() - begun) / len(units)
    medians = {k: [statistics.median(x) for x in zip(*v, strict=True)] for k, v in rows.items()}
    wall, cpu = ([medians[k][j] for k in rows] for j in (0, 1))
    unit = cpu[0] / len(units)
    told = {
        "pictures": asked.pictures,
        "styles": asked.styles,
        "units": len(units),
        "rounds": rows,
        "ratio of wall clocks": wall[0] / wall[1],
        "CPU seconds, serial and cluster": cpu,
        "ratio that the CPU seconds allow": PROCESSES * cpu[0] / cpu[1],
        "seconds a unit, of CPU": unit,
        "overhead a unit, seconds": overhead,
        "load": psutil.getloadavg(),
        "first run with loading": setup,
        "simulated": {
            n: {w: simulated([unit], n, w, 10.0, overhead) for w in (1, 8, 64, 512)}
            for n in (600, 625, 10_000)
        },
    }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
