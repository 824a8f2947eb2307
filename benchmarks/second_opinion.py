"""False names with LoRAs, and with the direct answer and LoRAs together.

    python benchmarks/second_opinion.py --data DIR --outside DIR [DIR ...] --loras SET [--out DIR]

Folders and --out are those of benchmarks/false_names.py, whose direct scores are used where they
are there; SET is the counterfactuals' folder that `guda demo` makes. Statistics are compared on
some pictures, and reported on others: the share that is named of those without a style, with its
95 % bound (Clopper-Pearson), and of those in one, and how many of the latter's names are right.
Fewer pictures than there, and LoRAs with as many evaluations as the direct answer (16 in place of
64), which makes half an hour on one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from on_pictures import (
    CONFIG,
    OUTSIDE,
    STYLES,
    Bench,
    Scored,
    Source,
    bound,
    contents_of,
    in_turn,
    joined,
    options,
    real_sources,
)

from guda import demo
from guda.cli import Progress
from guda.config import DIRECT_EVALUATIONS
from guda.counterfactuals import CounterfactualSet, load_set
from guda.scoring import conformal, standing
from guda.scoring.spread import SeedSpread
from guda.scoring.verdict import Outcome, score

LORAS = replace(CONFIG, evaluations=DIRECT_EVALUATIONS)
REAL, PHOTOGRAPHS = 10, 12
OTHERS = dict(zip(OUTSIDE, (20, 40, 20, 40), strict=True))
IN_POOL = 30  # of each set that is in the pool's folder


@dataclass(frozen=True)
class Both:
    """The same n pictures, asked directly and with LoRAs."""

    direct: Scored
    loras: Scored

    def part(self, rows: slice) -> Both:
        return Both(self.direct.part(rows), self.loras.part(rows))


def sources(bench: Bench, data: Path, outside: Sequence[Path]) -> Iterator[Source]:
    """Those that are needed first come first."""
    contents = contents_of(data)

    def drawn(name: str, those: slice, seed: int, n: int, styled: bool) -> Source:
        some = contents[those]
        named, turns = in_turn(some)
        shown = bench.drawn(name, named if styled else some, seed)
        return Source(f"{name}, content", shown, some, turns if styled else -1).first(n)

    yield drawn("in a style", slice(80), 23, 60, True)
    yield drawn("pool", slice(520, 720), 21, 100, False)
    yield drawn("no style", slice(300, 400), 22, 50, False)
    yield drawn("choice, in a style", slice(400, 520), 12, 50, True)
    yield drawn("choice, no style", slice(300), 11, 100, False)
    real = real_sources(bench, data, outside)
    yield from (real[f"real, {name}"].first(REAL) for name in demo.STYLES)
    yield from (real[f"outside, {name}"].first(n) for name, n in OTHERS.items())
    yield real["photographs"].first(PHOTOGRAPHS)


def both(bench: Bench, source: Source, loras: CounterfactualSet) -> Both:
    return Both(bench.scored(source), bench.scored(source, loras, LORAS))


Statistic = Callable[[Both], np.ndarray]
"""(n, K) how far each style stands out."""


def of_one(which: str, name: str = standing.CHOSEN) -> Statistic:
    return lambda asked: standing.of_each(getattr(asked, which).contributions, name)


def mean_part(weight: float) -> Statistic:
    """The weighted mean of the parts of what moves; weight: of the direct answer."""

    def told(asked: Both) -> np.ndarray:
        parts = [standing.parts(s.contributions) for s in (asked.direct, asked.loras)]
        return standing.ahead(weight * parts[0] + (1 - weight) * parts[1])

    return told


def smaller(asked: Both) -> np.ndarray:
    """The smaller of the two, so that both have to stand out."""
    return np.minimum(of_one("direct")(asked), of_one("loras")(asked))


STATISTICS: dict[str, Statistic] = {
    "direct": of_one("direct"),
    "LoRA": of_one("loras"),
    "LoRA, margin": of_one("loras", "margin"),
    "LoRA, outlier": of_one("loras", "outlier"),
    "together, mean of the parts": mean_part(0.5),
    "together, direct counts double": mean_part(2 / 3),
    "together, the smaller": smaller,
}


def shares(statistic: Statistic, null: Both, asked: Both) -> tuple[float, np.ndarray, np.ndarray]:
    """AUC, which of the asked are named, and which have the right style in front."""
    a, b = (statistic(x) for x in (asked, null))
    n = len(b)
    named = a.max(1) > np.sort(b.max(1))[-conformal.largest_rank(n)]
    auc = (a.max(1)[:, None] > b.max(1)).mean()
    return float(auc), named, a.argmax(1) == asked.direct.truth


def interval_alone(scored: Scored) -> np.ndarray:
    """Which of them are named without a pool."""
    seed = SeedSpread({})  # one, as in the demo
    told = [score(STYLES.names, c, CONFIG.confidence, seed)[1] for c in scored.contributions]
    return np.array([outcome is Outcome.STYLE for outcome in told])


def line(title: str, null: Both, asked: Both) -> str:
    """A share for each of the statistics; n in front."""
    true = asked.direct.truth[0] >= 0
    cells = [title, str(len(asked.direct.full))]
    first = asked.loras.contributions.sum(2).argmax(1) == asked.direct.truth
    told = [(interval_alone(asked.loras), first)]
    told += [shares(statistic, null, asked)[1:] for statistic in STATISTICS.values()]
    for named, right in told:
        more = f" [{bound(int(named.sum()), len(named)):.0%}]"
        if true:
            more = f", {int(right[named].sum())} of {int(named.sum())} right"
        cells.append(f"{named.mean():.0%}{more}")
    return f"| {' | '.join(cells)} |"


def compared(title: str, null: Both, asked: Both) -> None:
    for name, statistic in STATISTICS.items():
        auc, named, right = shares(statistic, null, asked)
        print(f"| {title} | {name} | {auc:.2f} | {named.mean():.0%} | {right.mean():.0%} |")


def joined_both(parts: Sequence[Both]) -> Both:
    return Both(joined([p.direct for p in parts]), joined([p.loras for p in parts]))


def report(told: dict[str, Both]) -> None:
    real = joined_both([told[f"real, {name}"] for name in demo.STYLES])
    others = {name: told[f"outside, {name}"] for name in OUTSIDE}
    in_pool = joined_both([others[name].part(slice(IN_POOL)) for name in OUTSIDE[1::2]])
    same = joined_both([others[name].part(slice(IN_POOL, None)) for name in OUTSIDE[1::2]])
    print("| choosing on | statistic | AUC | named at the cut | first is right |")
    print("|---|---|---|---|---|")
    compared("drawn", told["choice, no style, content"], told["choice, in a style, content"])
    print(f"\n| reported on | n | LoRA, no pool | {' | '.join(STATISTICS)} |")
    print("|---" * (len(STATISTICS) + 3) + "|")
    pool = told["pool, content"]
    print(line("drawn in a style", pool, told["in a style, content"]))
    print(line("drawn without a style", pool, told["no style, content"]))
    print(line("real, in a style", in_pool, real))
    print(line("real, of the pool's own sets", in_pool, same))
    for name in OUTSIDE[::2]:
        print(line(f"real, {name} (not in the pool)", in_pool, others[name]))
    print(line("photographs", in_pool, told["photographs"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options(parser)
    parser.add_argument("--loras", type=Path, required=True, help="a set of guda demo")
    args = parser.parse_args()
    loras = load_set(args.loras)
    with Progress() as progress:
        bench = Bench(args.out, progress)
        told = {s.name: both(bench, s, loras) for s in sources(bench, args.data, args.outside)}
    report(told)


if __name__ == "__main__":
    main()
