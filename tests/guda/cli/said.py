"""Short options, and how a command refuses."""

from __future__ import annotations

from guda.cli import main

QUICK = ["--steps", "6", "--lr", "0.01", "--rank", "2", "--device", "cpu"]
QUICK += ["--batch-size", "3", "--retain-batch-size", "3"]


def refused(argv, words, capsys):
    assert main(argv) == 2
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("guda: ") and words in lines[0], told.err
