"""What do many pictures of one source lean on, and how often is that right?

    python benchmarks/one_source.py --data DIR --outside DIR [DIR ...] [--out guda-false-names]

Folders and --out are those of benchmarks/false_names.py, whose scores are used where they are
there. Sets of 10, 20 and 30 pictures are drawn at random from each source and asked as one source
of the built-in model, directly: held-out pictures of its five styles and pictures that it draws in
them, which have a right name; pictures of icon sets that it never saw, photographs, and pictures
that it draws without a style, which have none. Sets of one source overlap, so shares are means
over sets of one sample of 30 to 300 pictures. About half an hour on one core, without scores.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from on_pictures import (
    OUTSIDE,
    STYLES,
    Bench,
    Scored,
    Source,
    contents_of,
    in_turn,
    joined,
    options,
    real_ones,
)

from guda import demo
from guda.cli import Progress
from guda.scoring.source import SourceScores, of_source
from guda.scoring.verdict import Outcome

SIZES, SETS = (10, 20, 30), 60


def asked(scored: Scored, size: int, pool: np.ndarray) -> Iterator[SourceScores]:
    """Sets of a source."""
    rng = np.random.default_rng(size)
    for _ in range(SETS):
        rows = rng.choice(len(scored.full), size, replace=False)
        yield of_source(STYLES.names, scored.contributions[rows], 0.95, pool)


def line(title: str, scored: Scored, size: int, pool: np.ndarray, truth: int) -> str:
    if len(scored.full) <= size:
        return ""
    told = list(asked(scored, size, pool))
    first = np.array([s.scores[0].group for s in told])
    named = np.array([s.outcome is Outcome.STYLE for s in told])
    right = first == (STYLES.names[truth] if truth >= 0 else "")
    alone = np.array([s.scores[0].p <= 0.05 for s in told])
    cells = [title, str(size), f"{alone.mean():.0%}", f"{named.mean():.0%}"]
    if truth < 0:
        most = max(set(first), key=list(first).count)
        return f"| {' | '.join([*cells, f'none ({most} leads)'])} |"
    return f"| {' | '.join([*cells, f'{right[named].mean():.0%}' if named.any() else '-'])} |"


def sources(bench: Bench, data: Path, outside: list[Path]):
    """(title, scores, right style or -1, whether real)."""
    contents = contents_of(data)
    free = contents[520:720]
    pool = bench.scored(Source("pool, content", bench.drawn("pool", free, 21), free))
    drawn = joined(
        [
            in_styles(bench, "in a style", contents[:80], 23),
            in_styles(bench, "choice, in a style", contents[400:520], 12),
        ]
    )
    real, others, far = real_ones(bench, data, outside)
    told = []
    for k, group in enumerate(demo.STYLES):
        told.append((f"real, {group}", real.part(real.truth == k), k, True))
        told.append((f"drawn in {group}", drawn.part(drawn.truth == k), k, False))
    told += [(f"real, {n} (not in the pool)", others[n], -1, True) for n in OUTSIDE[::2]]
    rest = [(n, others[n].part(slice(100, None))) for n in OUTSIDE[1::2]]
    told += [(f"real, {n} (others are in the pool)", scored, -1, True) for n, scored in rest]
    told.append(("photographs", far["photographs"], -1, True))
    free = contents[:300]
    drawn = bench.drawn("choice, no style", free, 11)
    none = bench.scored(Source("choice, no style, content", drawn, free))
    told.append(("drawn without a style", none, -1, False))
    folder = [others[n].contributions[:100] for n in OUTSIDE[1::2]]
    return told, {True: np.concatenate(folder), False: pool.contributions}


def in_styles(bench: Bench, name: str, contents: list[str], seed: int) -> Scored:
    """Drawn in the styles, and asked with what they show."""
    named, turns = in_turn(contents)
    drawn = bench.drawn(name, named, seed)
    return bench.scored(Source(f"{name}, content", drawn, contents, turns))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options(parser)
    args = parser.parse_args()
    with Progress() as progress:
        told, pools = sources(Bench(args.out, progress), args.data, args.outside)
    print("| source | pictures | ahead of all others | named | of the names, right |")
    print("|---|---|---|---|---|")
    for size in SIZES:
        for title, scored, truth, real in told:
            if row := line(title, scored, size, pools[real], truth):
                print(row)


if __name__ == "__main__":
    main()
