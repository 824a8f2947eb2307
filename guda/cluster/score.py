"""Many pictures scored in shards, here or on a cluster: a line of JSON each, in their order.

<out>/scores.jsonl           a row per picture, as `images` of attribution.json, or its error
<out>/scores.json            what was asked: model, styles, settings
<out>/shards/*.jsonl         finished shards, by which a run goes on; to be deleted when it is done

A shard's scores are the same bytes wherever it is done: its pictures are always those.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import ElboConfig
from ..diffusion import Backbone
from ..diffusion.identity import name as name_of
from ..errors import ImageError
from ..files import write_atomically, write_bytes, write_text
from ..files.lock import take
from ..settings import digest
from ..steps import Steps, warn
from .board import Board
from .desk import Desk
from .job import Source, Told, Unit, job
from .marked import marked
from .pictures import Where, shards
from .score_unit import Without, perform, told_of
from .units import Failure, Units

if TYPE_CHECKING:
    from distributed import Client

SCORES, ASKED, SHARDS = "scores.jsonl", "scores.json", "shards"


@dataclass(frozen=True)
class Scoring:
    """Pictures to score into the folder `out`. pictures: makes a new iterator over them."""

    backbone: Backbone
    source: Source
    without: Without
    config: ElboConfig
    pictures: Callable[[], Iterator[Where]]
    out: Path
    shard: int = 16

    @property
    def key(self) -> str:
        """Names everything that scores depend on, but for the pictures."""
        identity = {**self.backbone.identity, "weights": self.backbone.fingerprint}
        return digest(name_of(identity), told_of(self.without), self.config.as_key(), self.shard)

    def units(self) -> Iterator[Unit]:
        for i, shard in enumerate(shards(self.pictures(), self.shard)):
            rows = [w.told() for w in shard]
            key = f"{i:06d}-{digest(self.key, [_seen(w) for w in shard])[:12]}"
            told = {"pictures": rows, "look": i == 0, "file": f"{SHARDS}/{key}.jsonl"}
            yield Unit(key, "score", f"pictures {shard[0].name} to {shard[-1].name}", 1, told)


@dataclass(frozen=True)
class Scored:
    """What came of it: where, how many rows, how many are errors, and shards that failed."""

    file: Path
    rows: int
    unread: int
    failures: tuple[Failure, ...]
    seconds: tuple[float, ...]
    """What each shard took that was done now."""


def run(work: Scoring, client: Client | None = None, patience: float = 900.0) -> Steps[Scored]:
    """Score what is left, on the cluster or here. Another run in the folder is waited for.

    Raises ImageError where there are no pictures.
    """
    total = sum(1 for _ in work.units())
    if not total:
        raise ImageError("There are no pictures; give a folder, a list or a .tar that holds some.")
    with (yield from take(work.out)) as lock:
        told = job(
            work.backbone,
            work.source,
            work.out,
            patience,
            without=told_of(work.without),
            config=work.config.as_dict(),
        )
        board = Board("score", (), (client and client.dashboard_link) or "", total)
        warnings: list[str] = []
        seconds: list[float] = []

        def result(unit: Unit, made: Told) -> list[Unit]:
            for name, data in made.get("files", {}).items():
                write_bytes(work.out / name, data)
            warnings.extend(made.get("warnings", ()))
            seconds.append(made["seconds"])
            return []

        failures: list[Failure] = []
        left = (u for u in work.units() if not _is_done(work, u, board))
        with marked(work.out, told):
            if client is None:
                yield from _here(work, told, left, board, result)
            else:
                running = Units(client, told, board, result)
                failures = yield from running.run(left)
            for text in dict.fromkeys(warnings):
                yield warn(text)
            lock.check()
            return _merged(work, failures, seconds)


def _here(
    work: Scoring, told: Told, units: Iterator[Unit], board: Board, result: Callable
) -> Steps[None]:
    desk = Desk(told, work.backbone, work.out, True)
    for unit in units:
        steps, begun = perform(desk, unit.told()), time.monotonic()
        try:
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    made = end.value
                    break
                yield board.step()
        finally:
            steps.close()
        result(unit, {**made, "seconds": time.monotonic() - begun})
        board.finish(unit.key)
        yield board.step()


def _is_done(work: Scoring, unit: Unit, board: Board) -> bool:
    if not (work.out / unit.what["file"]).is_file():
        return False
    board.finish(unit.key)
    return True


def _merged(work: Scoring, failures: list[Failure], seconds: list[float]) -> Scored:
    """All rows in one file, in the order of the pictures; the shards stay while one is missing."""
    rows = unread = 0

    def write(path: Path) -> None:
        nonlocal rows, unread
        with path.open("wb") as out:
            for unit in work.units():
                shard = work.out / unit.what["file"]
                for line in shard.read_bytes().splitlines(True) if shard.is_file() else ():
                    rows += 1
                    unread += "error" in json.loads(line)
                    out.write(line)

    asked: dict[str, Any] = {
        "model": {"name": work.backbone.name, "fingerprint": work.backbone.fingerprint},
        "counterfactuals": told_of(work.without),
        "estimate": work.config.as_dict(),
        "shard": work.shard,
        "missing": [str(f) for f in failures],
    }
    write_atomically(work.out / SCORES, write)
    write_text(work.out / ASKED, json.dumps(asked, indent=1, ensure_ascii=False) + "\n")
    return Scored(work.out / SCORES, rows, unread, tuple(failures), tuple(seconds))


def _seen(where: Where) -> list[Any]:
    """A picture as its shard's name has it; another file under the same name is another shard."""
    try:
        state = Path(where.path).stat()
        return [*where.told().values(), state.st_size, state.st_mtime_ns]
    except OSError:
        return list(where.told().values())
