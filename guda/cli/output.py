"""What a command prints: progress and warnings on stderr, results on stdout."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import time
import unicodedata
from typing import TextIO

from ..escape import visible
from ..steps import Step


def say(text: object, file: TextIO | None = None) -> None:
    """Prints `text`, in which names may stand that would do something to a terminal."""
    print(visible(str(text)), file=file)


def finish(attribution, report, as_json: bool) -> None:
    """Print an attribution, and where its report lies."""
    from ..report import to_dict, to_markdown

    if as_json:
        say(json.dumps(to_dict(attribution), indent=2))
        return
    say(to_markdown(attribution))
    say(f"Report: {report.html}")


def tell(steps, as_json: bool, told: str = "") -> int:
    """Print a plan; `told` and its warnings come on stderr."""
    from ..steps import drain

    progress = Progress(told)
    plan = drain(steps, lambda step: progress(step) if step.warning else progress.begin())
    progress.begin()
    say(json.dumps(plan.as_dict(), indent=2) if as_json else plan)
    return 0


class Progress:
    """Shows steps on stderr: one live line in a terminal, a line per stage and group otherwise.

    told: what stands before the first step, once the work has not been refused.
    """

    def __init__(self, told: str = "", stream: TextIO | None = None):
        self._stream = stream or sys.stderr
        self._told = told
        self._live = self._stream.isatty()
        self._shown = 0.0
        self._last: tuple[str, str] | None = None
        self._said: set[str] = set()
        self._started = time.monotonic()

    @property
    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            return shutil.get_terminal_size().columns

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live and self._last:
            self._stream.write("\r\x1b[K")

    def begin(self) -> None:
        if self._told:
            self._stream.write(f"{visible(self._told)}\n")
            self._told = ""

    def __call__(self, step: Step) -> None:
        now, place = time.monotonic(), (step.stage, step.group)
        self.begin()
        if step.warning:
            if step.warning in self._said:
                return
            self._said.add(step.warning)
            clear = "\r\x1b[K" if self._live and self._last else ""
            self._stream.write(f"{clear}guda: {_line(step)}\n")
            return
        if self._live:
            if now - self._shown > 0.1 or step.done == step.total:
                self._stream.write(f"\r\x1b[K{_row(_line(step), self._columns)}")
                self._stream.flush()
                self._shown = now
        elif place != self._last:
            self._stream.write(f"[{now - self._started:5.1f} s] {_line(step)}\n")
        self._last = place


def _row(line: str, columns: int) -> str:
    """As much of it as stands in one row of a terminal, so that the next can be written over it."""
    wide = [2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line]
    if sum(wide) < columns:
        return line
    ends = zip(line, itertools.accumulate(wide), strict=True)
    return "".join(c for c, end in ends if end < columns - 1) + "\N{HORIZONTAL ELLIPSIS}"


def _line(step: Step) -> str:
    return visible(str(step), keep="")
