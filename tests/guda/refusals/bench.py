"""Where a bad input is tried: good inputs to change, one command, and what it left and took."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS, BYTES = 20, 2 << 30
"""Of the processor, whatever else keeps it busy, and of memory."""


@dataclass(frozen=True)
class Bench:
    """Good inputs, shared by all cases and read only; `d` is the case's own folder."""

    d: Path
    model: Path
    groups: Path
    set: Path
    picture: Path
    checkpoint: Path
    tokenizer: Path

    def unlearn(self, *more: object, **changes: object) -> list[str]:
        options = {"model": self.model, "groups": self.groups, "out": self.d / "out"}
        return _argv("unlearn", options | {"device": "cpu", "steps": 1}, changes, more)

    def attribute(self, *more: object, **changes: object) -> list[str]:
        options = {"model": self.model, "counterfactuals": self.set, "image": self.picture}
        options |= {"out": self.d / "out", "device": "cpu", "evaluations": 4}
        return _argv("attribute", options, changes, more)

    def file(self, name: str, content: bytes | str = b"") -> Path:
        path = self.d / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    def copy(self, what: str) -> Path:
        """An own copy of a good folder."""
        return Path(shutil.copytree(getattr(self, what), self.d / what))


Case = tuple[str, Callable[[Bench], list[Any]], str]
"""A name, what makes the bad input and the command line, and words that the refusal has."""


def _argv(command: str, options: dict, changes: dict, more: tuple) -> list[str]:
    argv = [command]
    for name, value in (options | changes).items():
        if value is not None:
            argv += [f"--{name.replace('_', '-')}", str(value)]
    return argv + [str(x) for x in more]


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    data = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(change(data) or data), "utf-8")


def listing(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def problems(argv: list[str], words: str, own: Path, main: Callable, capsys) -> Iterator[str]:
    """What is not clean about how `argv` is refused."""
    before, started = listing(own), time.process_time()
    try:
        code: object = main(argv)
    except SystemExit as stop:
        code = stop.code
    except BaseException as error:  # a traceback for the user
        code = f"{type(error).__name__}: {error!s:.300}"
    took, told = time.process_time() - started, capsys.readouterr()
    lines = told.err.splitlines()
    if os.environ.get("REFUSALS"):  # to read how they sound
        with open(os.environ["REFUSALS"], "a", encoding="utf-8") as file:
            file.write(f"{took:5.1f} s  {told.err[:500]}")
    if code != 2:
        yield f"exit code {code}"
    if told.out:
        yield f"output {told.out[:100]!r}"
    if len(lines) != 1 or not lines[0].startswith("guda: ") or len(lines[0]) > 1100:
        yield f"{len(lines)} lines: {told.err[:300]!r}"
    if words not in told.err:
        yield f"no {words!r} in {told.err[:400]!r}"
    if took > SECONDS:
        yield f"{took:.0f} s"
    if left := listing(own) - before:
        yield f"left {sorted(left)}"
