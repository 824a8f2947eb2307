"""What do many pictures of one source lean on, and how often is that right?

    python benchmarks/one_source.py --data DIR --outside DIR [DIR ...] [--out guda-false-names]

Folders and --out are those of benchmarks/false_names.py, whose scores are used where they are
there. Sets of 10 and 20 pictures are drawn at random from each source and asked as one source of
the built-in model, directly: held-out pictures of its five styles and pictures that it draws in
them, which have a right name; pictures of icon sets that it never saw, photographs, and pictures
that it draws without a style, which have none. "Of a kind" tells how many are left where the
style's own pictures in the pool (ten of each style) have to be of the source's kind; it was chosen
on the sources marked with a star. Sets of one source overlap, so shares are means over sets of one
sample of 30 to 300 pictures. About half an hour on one core, without scores.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
    split_by_style,
)

from guda import demo
from guda.cli import Progress
from guda.scoring import kind
from guda.scoring.source import SourceScores, of_source
from guda.scoring.verdict import Outcome

SIZES, SETS = (10, 20), 60
CHOSEN_ON = ("Fluent", "Twemoji", "Fluent Flat", "FxEmojis")


@dataclass(frozen=True)
class Pool:
    null: np.ndarray  # contributions
    styles: dict[str, np.ndarray]  # terms of pictures in them


@dataclass(frozen=True)
class Asked:
    title: str
    scored: Scored
    truth: int  # the right style, or -1
    real: bool


def told(asked: Asked, size: int, pool: Pool) -> Iterator[tuple[SourceScores, SourceScores]]:
    """Sets of a source, without and with the test of their kind."""
    rng, scored = np.random.default_rng(size), asked.scored
    for _ in range(SETS):
        rows = rng.choice(len(scored.full), size, replace=False)
        source = of_source(STYLES.names, scored.contributions[rows], 0.95, pool.null)
        yield source, kind.held(source, scored.full[rows], pool.styles)


def line(asked: Asked, size: int, pool: Pool) -> str:
    before, after = zip(*told(asked, size, pool), strict=True)
    first = np.array([s.scores[0].group for s in before])
    ahead = np.mean([s.scores[0].p <= 0.05 for s in before])
    named, left = (np.array([s.outcome is Outcome.STYLE for s in x]) for x in (before, after))
    cells = [asked.title, str(size), *(f"{x.mean():.0%}" for x in (ahead, named, left))]
    if asked.truth < 0:
        most = max(set(first), key=list(first).count)
        return f"| {' | '.join([*cells, f'none ({most} leads)'])} |"
    right = first == STYLES.names[asked.truth]
    return f"| {' | '.join([*cells, f'{right[left].mean():.0%}' if left.any() else '-'])} |"


def sources(bench: Bench, data: Path, outside: list[Path]) -> tuple[list[Asked], dict[bool, Pool]]:
    """The sources, and the pools of real and of drawn ones."""
    contents = contents_of(data)
    free = contents[520:720]
    pool = bench.scored(Source("pool, content", bench.drawn("pool", free, 21), free))
    choice = in_styles(bench, "choice, in a style", contents[400:520], 12)
    drawn = joined(
        [in_styles(bench, "in a style", contents[:80], 23), choice.part(slice(50, None))]
    )
    all_real, others, far = real_ones(bench, data, outside)
    like, real = split_by_style(all_real)
    asked = []
    for k, group in enumerate(demo.STYLES):
        asked.append(Asked(f"real, {group}", real.part(real.truth == k), k, True))
        asked.append(Asked(f"drawn in {group}", drawn.part(drawn.truth == k), k, False))
    for name in OUTSIDE[::2]:
        asked.append(Asked(f"real, {name}, not in the pool", others[name], -1, True))
    for name in OUTSIDE[1::2]:
        rest = others[name].part(slice(100, None))
        asked.append(Asked(f"real, {name}, others are in the pool", rest, -1, True))
    asked.append(Asked("photographs", far["photographs"], -1, True))
    free = contents[:300]
    shown = bench.drawn("choice, no style", free, 11)
    none = bench.scored(Source("choice, no style, content", shown, free))
    asked.append(Asked("drawn without a style", none, -1, False))
    folder = np.concatenate([others[n].contributions[:100] for n in OUTSIDE[1::2]])
    pools = {True: Pool(folder, by_style(like))}
    return asked, pools | {False: Pool(pool.contributions, by_style(choice.part(slice(50))))}


def by_style(scored: Scored) -> dict[str, np.ndarray]:
    return {name: scored.full[scored.truth == k] for k, name in enumerate(STYLES.names)}


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
        asked, pools = sources(Bench(args.out, progress), args.data, args.outside)
    print("| source | pictures | ahead of all others | named | of a kind | of these, right |")
    print("|---|---|---|---|---|---|")
    for size in SIZES:
        for one in asked:
            star = any(one.title.split(", ")[:2] == ["real", n] for n in CHOSEN_ON)
            shown = replace(one, title=f"{one.title} *") if star else one
            print(line(shown, size, pools[one.real]), flush=True)


if __name__ == "__main__":
    main()
