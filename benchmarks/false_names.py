"""How often is a picture named that has nothing to do with the styles, and how often one that has?

    python benchmarks/false_names.py --data DIR --outside DIR [DIR ...] [--out guda-false-names]

The built-in model answers directly for its five styles. DIR are folders as training/emoji.py makes
them, with `train` and `heldout` in each: --data of these styles, --outside of OpenMoji, Fluent
Flat, Noto and FxEmojis, which the model never saw. First the statistics are compared on pictures
that are not reported below; then come false names with their 95 % bound (Clopper-Pearson), the
share of true pictures that are named and of these names that are right, with and without a null
pool, by kind of question; last what is named when a picture's style is not among those asked for.
What was scored is kept in --out. About an hour on one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from on_pictures import (
    CONFIG,
    OUTSIDE,
    STYLES,
    Bench,
    Pictures,
    Scored,
    Source,
    bound,
    contents_of,
    in_turn,
    joined,
    options,
    pool,
    real_ones,
    split_by_style,
)

from guda.cli import Progress
from guda.groups.contents import CONTENTS
from guda.scoring import conformal, standing
from guda.scoring.null import FOLDER, FREE, NullPool, judge
from guda.scoring.verdict import Outcome, score

SIZES, POOLS = (45, 60, 76, 77, 100, 150, 200, 300, 400), 200
FORMS = ("named", "none")
FEWER, FEWEST = 60, 40  # of a pool and of questions with the other forms of prompt


def before(names: Sequence[str], asked: Scored) -> np.ndarray:
    """Whether each picture gets a name from its sampling interval alone."""
    told = [score(names, c, CONFIG.confidence)[1] for c in asked.contributions]
    return np.array([outcome is Outcome.STYLE for outcome in told])


def line(title: str, asked: Scored, against: NullPool, names: Sequence[str] = STYLES.names) -> str:
    forms = [asked.form] * len(asked.full)
    told, _ = judge(against, names, forms, asked.contributions, asked.full)
    outcomes = [e.outcome for e in told]
    after = np.array([outcome is Outcome.STYLE for outcome in outcomes])
    unlike = np.mean([outcome is Outcome.UNLIKE for outcome in outcomes])
    cells = [title, str(len(after))]
    right = asked.contributions.sum(2).argmax(1) == asked.truth
    for named in (before(names, asked), after):
        share = f"{named.mean():.1%}"
        if asked.truth[0] < 0:
            share += f" (below {bound(int(named.sum()), len(named)):.1%})"
        elif named.any():
            share += f", {right[named].mean():.0%} right"
        cells.append(share)
    return f"| {' | '.join([*cells, f'{unlike:.0%}'])} |"


HEAD = "| pictures | n | named before | named with the pool | unlike |\n|---|---|---|---|---|"


def compared(title: str, null: Scored, asked: Scored) -> None:
    """Each statistic: AUC, and what it names of the true pictures at the cut."""
    right = asked.contributions.sum(2).argmax(1) == asked.truth
    for name in standing.STATISTICS:
        a, b = (standing.of_first(x.contributions, name) for x in (asked, null))
        cut = np.sort(b)[-conformal.largest_rank(len(b))]
        named = a > cut
        auc = (a[:, None] > b).mean()
        sure = f"{right[named].mean():.0%}" if named.any() else "none"
        print(f"| {title} | {name} | {auc:.2f} | {named.mean():.1%} | {sure} |")


def by_size(null: Scored, inside: Scored, unrelated: Scored) -> None:
    """What pools of a size name, over pools drawn from the null pictures."""
    scored = (standing.of_first(x.contributions) for x in (null, inside, unrelated))
    statistics, true, false = scored
    rng = np.random.default_rng(0)
    print("\n| pool | beyond | true ones named | 10 % and 90 % of pools | false names |")
    print("|---|---|---|---|---|")
    for n in SIZES:
        rank = conformal.largest_rank(n)
        drawn = (rng.choice(statistics, n, replace=False) for _ in range(POOLS))
        cuts = np.array([np.sort(pool)[-rank] for pool in drawn])
        named, wrong = ((x[:, None] > cuts).mean(0) for x in (true, false))
        low, high = np.quantile(named, (0.1, 0.9))
        cells = f"{named.mean():.0%} | {low:.0%}, {high:.0%} | {wrong.mean():.1%}"
        print(f"| {n} | the {rank}. largest | {cells} |")


def generated(bench: Bench, contents: Sequence[str]) -> tuple[Scored, Scored]:
    """The choice on drawn pictures; returns those without a style and those in one."""
    named, turns = in_turn(contents[400:520])
    null = bench.drawn("choice, no style", contents[:300], 11)
    inside = bench.drawn("choice, in a style", named, 12)
    null = bench.scored(Source("choice, no style, content", null, contents[:300]))
    inside = bench.scored(Source("choice, in a style, content", inside, contents[400:520], turns))
    print("| choosing | statistic | AUC | named at the cut | right |\n|---|---|---|---|---|")
    compared("generated", null, inside)
    return null, inside


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options(parser)
    args = parser.parse_args()
    with Progress() as progress:
        report(Bench(args.out, progress), args.data, args.outside)


def report(bench: Bench, data: Path, outside: Sequence[Path]) -> None:
    contents = contents_of(data)
    more, known = generated(bench, contents)
    real, others, far = real_ones(bench, data, outside)
    compared("real, Fluent Flat and FxEmojis", joined([others[n] for n in OUTSIDE[1::2]]), real)
    print(f"\nReported with {standing.CHOSEN!r}, on other pictures:\n\n{HEAD}")
    free, queries, own = contents[520:720], contents[300:400], contents[:80]
    named, turns = in_turn(own)
    shown = {
        "pool": bench.drawn("pool", free, 21),
        "no style": bench.drawn("no style", queries, 22),
        "in a style": bench.drawn("in a style", named, 23),
    }
    pools, asked = {}, {}

    def generated_ones(form: str) -> None:
        def ask(source: str, given: Sequence[str], n: int, truth=-1) -> Scored:
            put = {"content": list(given), "none": [""] * len(given), "named": in_turn(given)[0]}
            n = len(given) if form == "content" else n
            some = truth if truth == -1 else truth[:n]
            return bench.scored(Source(f"{source}, {form}", shown[source], put[form][:n], some))

        like = known.part(slice(50)) if form == "content" else None
        pools[form] = pool(bench, ask("pool", free, FEWER), FREE, like)
        unrelated = ask("no style", queries, FEWEST)
        print(line(f"drawn without a style, {form}", unrelated, pools[form]))
        inside = ask("in a style", own, FEWEST, turns)
        print(line(f"drawn in a style, {form}", inside, pools[form]), flush=True)
        asked[form] = (inside, unrelated)

    generated_ones("content")
    like, rest = split_by_style(real)
    folder = joined([others[n].part(slice(100)) for n in OUTSIDE[1::2]])
    own_pool = pool(bench, folder, FOLDER, like)
    same = joined([others[n].part(slice(100, None)) for n in OUTSIDE[1::2]])
    print(line("real, in a style", rest, own_pool))
    print(line("real, of the pool's own sets", same, own_pool))
    for name in OUTSIDE[::2]:
        print(line(f"real, {name} (sets that are not in the pool)", others[name], own_pool))
    for name, scored in far.items():
        print(line(f"{name}", scored, own_pool))
    print(line("real in a style, against a drawn pool", rest, pools["content"]))
    print(line("photographs, against a drawn pool", far["photographs"], pools["content"]))
    left_out(bench, shown, free[:FEWER], own, turns)
    for form in FORMS:
        generated_ones(form)
    everyday = list(CONTENTS)
    other = bench.drawn("everyday", everyday, 13)
    scored = bench.scored(Source("everyday, content", other, everyday))
    print(line("drawn without a style, contents unlike the pool's", scored, pools["content"]))
    null = bench.scored(Source("pool, content", shown["pool"], free))
    by_size(joined([null, more]), *asked["content"])


def left_out(bench: Bench, shown: dict[str, Pictures], free, own, turns) -> None:
    """Each style left out of those that are asked for, and asked with its own pictures."""
    for k, name in enumerate(STYLES.names):
        others = STYLES.subset([n for n in STYLES.names if n != name])
        index = [i for i, turn in enumerate(turns) if turn == k]
        some = [own[i] for i in index]
        null = bench.scored(Source(f"pool without {name}", shown["pool"], free), others)
        own_ones = Source(f"left out, {name}", lambda at=index: shown["in a style"]()[at], some)
        asked = bench.scored(own_ones, others)
        against = pool(bench, null, FREE, without=others)
        print(
            line(f"drawn in {name}, which is not asked for", asked, against, others.names),
            flush=True,
        )


if __name__ == "__main__":
    main()
