"""Many pictures on two processes against one, and what that means for more: docs/scale.md.

python benchmarks/scale.py [--pictures 2000] [--styles 20] [--compared 400]

The built-in model answers directly, few evaluations a picture. Serial and clustered runs take
turns, a part of the same pictures each, so that what else the machine does falls on both; CPU
seconds of all processes stand beside the wall clock, as they tell of the work alone. Then the
cluster goes through all pictures in one run, and the memory is looked at on the way. A schedule for
more workers is simulated from the times of these units.
"""

from __future__ import annotations

import argparse
import heapq
import json
import statistics
import sys
import tempfile
import time
from itertools import islice
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
from guda.cluster.score import Scored, Scoring, run
from guda.cluster.score_unit import told_of
from guda.cluster.units import Units
from guda.config import ElboConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.groups.pictures import save_png
from guda.steps import Step, drain

PROCESSES = 2
WORKERS = (1, 8, 64, 512)


def processes() -> list[psutil.Process]:
    """This one first."""
    return [psutil.Process(), *psutil.Process().children(recursive=True)]


def cpu(some: list[psutil.Process]) -> float:
    return sum(p.cpu_times().user + p.cpu_times().system for p in some)


def write_pictures(folder: Path, count: int, side: int) -> None:
    folder.mkdir()
    for i in range(count):
        rng = torch.Generator().manual_seed(i)
        save_png(torch.rand(3, side, side, generator=rng), folder / f"{i:05d}.png")


class Bench:
    """The model, the styles and the pictures of all runs."""

    def __init__(self, root: Path, asked: argparse.Namespace):
        side = asked.resolution
        self.backbone = load_model("demo", device="cpu", resolution=side)
        self.source = Source("demo", device="cpu", resolution=side)
        styles = tuple((f"Style {i}", f"style{i}") for i in range(asked.styles))
        self.without = DirectCounterfactuals(styles)
        self.root, self.shard = root, asked.shard
        write_pictures(root / "pictures", asked.pictures, self.backbone.resolution)

    def scoring(self, out: str, count: int, shard: int = 0) -> Scoring:
        """Of the first pictures; what of them is finished in the folder is not done again."""
        return Scoring(
            self.backbone,
            self.source,
            self.without,
            ElboConfig(evaluations=4),
            lambda: islice(listed(self.root / "pictures"), count),
            self.root / out,
            shard or self.shard,
        )

    def timed(self, work: Scoring, where, told=None) -> tuple[Scored, dict[str, float]]:
        begun, before = time.monotonic(), cpu(processes())
        made = drain(run(work, where), told)
        spent = cpu(processes()) - before
        return made, {"wall": time.monotonic() - begun, "cpu": spent}


def compared(bench: Bench, client, count: int, parts: int) -> dict:
    """Serial and clustered by turns. Raises AssertionError where the scores differ."""
    rows: dict[str, list[dict[str, float]]] = {"serial": [], "cluster": []}
    for i in range(parts):
        upto = count * (i + 1) // parts
        for name, where in (("serial", None), ("cluster", client)):
            rows[name].append(bench.timed(bench.scoring(name, upto), where)[1])
    one, two = ((bench.root / n / "scores.jsonl").read_bytes() for n in rows)
    assert one == two, "the scores differ"
    sums = {n: {k: sum(r[k] for r in rows[n]) for k in ("wall", "cpu")} for n in rows}
    wall, spent = (sums["serial"][k] / sums["cluster"][k] for k in ("wall", "cpu"))
    return {
        "pictures": count,
        "turns": rows,
        **sums,
        "times as fast by the clock": wall,
        "times as fast on idle cores, by the CPU seconds": PROCESSES * spent,
    }


def through(bench: Bench, client, count: int) -> tuple[dict, Scored]:
    """All pictures in one run, and the most memory of each process on the way there."""
    some, most, at = processes(), {}, {}
    marks = [count // 4, count // 2, count]

    def look(step: Step) -> None:
        for p in some:
            most[p.pid] = max(most.get(p.pid, 0), p.memory_info().rss)
        while marks and step.done * bench.shard >= marks[0]:
            sizes = [round(most[p.pid] / 1e6) for p in some]
            at[marks.pop(0)] = {"command": sizes[0], "largest worker": max(sizes[1:])}

    own = cpu(some[:1])
    made, told = bench.timed(bench.scoring("all", count), client, look)
    own = (cpu(some[:1]) - own) / len(made.seconds)
    return {**told, "most memory in MB, by pictures": at, "command's CPU a unit": own}, made


def overhead(bench: Bench, client, count: int) -> dict[str, float]:
    """Seconds to give a finished unit out and take its answer; the first of two rounds loads."""
    work, told = bench.scoring("all", count), {}
    units = list(work.units())
    what = job(
        bench.backbone,
        bench.source,
        work.out,
        60.0,
        without=told_of(work.without),
        config=work.config.as_dict(),
    )
    with marked(work.out, what):
        for _ in range(2):
            begun, before = time.monotonic(), cpu(processes()[:1])
            board = Board("score", (), "", len(units))
            drain(Units(client, what, board, lambda *_: []).run(units))
            told = {
                "wall": (time.monotonic() - begun) / len(units),
                "command's cpu": (cpu(processes()[:1]) - before) / len(units),
            }
    return told


def at_rest(seconds: float = 10.0) -> float:
    """CPU seconds a second of this process, in which scheduler and nannies are, with no unit."""
    before = cpu(processes()[:1])
    time.sleep(seconds)
    return (cpu(processes()[:1]) - before) / seconds


def simulated(times: list[float], count: int, workers: int, setup: float, own: float) -> float:
    """Seconds until `count` units are done. times: of a unit, in turn; setup: of a worker; own: of
    the one process that gives units out and takes results."""
    free = [setup] * workers
    heapq.heapify(free)
    given = last = 0.0
    for i in range(count):
        given += own
        end = max(heapq.heappop(free), given) + times[i % len(times)]
        heapq.heappush(free, end)
        last = max(last, end)
    return last


def schedule(times: list[float], count: int, setup: float, own: float) -> dict:
    """By workers: seconds, and the speed-up over one worker divided by the workers."""
    took = {w: simulated(times, count, w, setup, own) for w in WORKERS}
    return {
        w: {"seconds": round(t, 1), "efficiency": round(took[1] / t / w, 2)}
        for w, t in took.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--styles", type=int, default=20)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--shard", type=int, default=16)
    parser.add_argument("--compared", type=int, default=400, help="pictures scored serially, too")
    parser.add_argument("--turns", type=int, default=4)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(f"load {psutil.getloadavg()}", file=sys.stderr)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name, connected(f"local:{PROCESSES}") as client:
        client.wait_for_workers(PROCESSES)
        started = time.monotonic() - begun
        rest = at_rest()
        bench = Bench(Path(name), asked)
        loaded = bench.timed(bench.scoring("warm", PROCESSES, 1), client)[1]
        drain(run(bench.scoring("warm here", 1)))
        told: dict = {"asked": vars(asked), "workers start": started, "they load": loaded}
        told["CPU seconds a second at rest"] = rest
        if asked.compared:
            told["compared"] = compared(bench, client, asked.compared, asked.turns)
            print(json.dumps(told, indent=1), flush=True)
        told["all"], made = through(bench, client, asked.pictures)
        told["a finished unit"] = overhead(bench, client, asked.pictures)
    share = told["all"]["cpu"] / sum(made.seconds)  # the cores were not these processes' alone
    times = [t * share for t in made.seconds]
    middle = statistics.median(times)
    own = told["a finished unit"]["command's cpu"]
    setup = started + loaded["cpu"] / PROCESSES - middle
    told["unit"] = {"count": len(times), "median": middle, "least": min(times), "most": max(times)}
    told["load"] = psutil.getloadavg()
    told["simulated"] = {
        "worker's setup": setup,
        "command's CPU a unit": own,
        **{n: schedule(times, n, setup, own) for n in (len(times), 625, 10_000)},
        "625 units ten times as long": schedule([10 * t for t in times], 625, setup, own),
    }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
