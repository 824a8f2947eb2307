"""Short options, and how a command ends."""

from __future__ import annotations

from guda.cli import main
from guda.counterfactuals import load_set

QUICK = ["--steps", "6", "--lr", "0.01", "--rank", "2", "--device", "cpu"]
QUICK += ["--batch-size", "3", "--retain-batch-size", "3"]


def refused(argv, words, capsys):
    assert main(argv) == 2
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("guda: ") and words in lines[0], told.err


def unlearned(argv):
    """Runs it to its end: its exit code tells whether everything in the set can be used."""
    code = main(argv)
    out = argv[len(argv) - argv[::-1].index("--out")]  # the last one given counts
    assert code == (not all(entry.passed for entry in load_set(out).entries))
