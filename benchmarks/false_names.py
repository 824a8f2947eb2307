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
import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guda import demo
from guda.backbone.files.load import DEMO, load
from guda.cli import Progress
from guda.config import ElboConfig, SampleConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.groups import pictures
from guda.groups.contents import CONTENTS
from guda.groups.draw import draw
from guda.jobs import basis
from guda.jobs.attribute import AttributeRequest, survey
from guda.scoring import conformal, standing
from guda.scoring.null import FOLDER, FREE, IN_STYLE, NullPicture, NullPool, judge
from guda.scoring.verdict import Outcome, score
from guda.steps import drain

STYLES = DirectCounterfactuals.named(demo.STYLES)
PHRASES = tuple(demo.STYLES.values())
CONFIG = ElboConfig(batch_size=96)
OUTSIDE = ("OpenMoji", "Fluent Flat", "Noto", "FxEmojis")
FORMS = ("named", "none")
FEWER, FEWEST = 60, 40  # of a pool and of questions with the other forms of prompt
Pictures = Callable[[], Tensor]


@dataclass(frozen=True)
class Scored:
    """n pictures of one source, asked with one form of prompt; truth: the style's number, or -1."""

    contributions: np.ndarray
    full: np.ndarray
    truth: np.ndarray
    form: str

    def part(self, rows: slice | np.ndarray) -> Scored:
        return Scored(self.contributions[rows], self.full[rows], self.truth[rows], self.form)

    def rows(self, source: str) -> tuple[NullPicture, ...]:
        return tuple(
            NullPicture(f"{source} {i}", source, "", "", self.form, 0.0, c, f)
            for i, (c, f) in enumerate(zip(self.contributions, self.full, strict=True))
        )


def joined(parts: Sequence[Scored]) -> Scored:
    arrays = zip(*((p.contributions, p.full, p.truth) for p in parts), strict=True)
    return Scored(*map(np.concatenate, arrays), parts[0].form)


class Bench:
    """Scores sources once each, and keeps what came of it."""

    def __init__(self, out: Path, progress: Progress):
        self.backbone, self.out, self.progress = load(DEMO), out, progress
        out.mkdir(parents=True, exist_ok=True)

    def drawn(self, name: str, prompts: Sequence[str], seed: int) -> Pictures:
        def make() -> Tensor:
            path = self.out / f"{name}.npy"
            if not path.exists():
                config = SampleConfig(seed=seed, batch_size=64)
                np.save(path, drain(draw(self.backbone, prompts, config), self.progress).numpy())
            return torch.from_numpy(np.load(path))

        return make

    def scored(
        self,
        name: str,
        shown: Pictures,
        prompts: Sequence[str],
        truth: Sequence[int] | int = -1,
        styles: DirectCounterfactuals = STYLES,
    ) -> Scored:
        path = self.out / f"{name}.npz"
        if not path.exists():
            names = [f"{name} {i}" for i in range(len(prompts))]
            some = list(shown())
            asked = AttributeRequest(self.backbone, styles, some, names, prompts, CONFIG)
            _, gaps = drain(survey(asked).measure(look=False), self.progress)
            np.savez(path, c=gaps.contributions, full=gaps.full)
        kept = np.load(path)
        told = np.broadcast_to(np.asarray(truth), len(kept["full"]))
        return Scored(kept["c"], kept["full"], told, basis.forms(styles, prompts)[0])


def listed(folder: Path) -> list[dict]:
    lines = (folder / "metadata.jsonl").read_text("utf-8").splitlines()
    return [(row := json.loads(line)) | {"path": folder / row["file_name"]} for line in lines]


def read(bench: Bench, rows: Sequence[dict]) -> Pictures:
    side = bench.backbone.resolution
    return lambda: torch.stack([pictures.load(row["path"], side) for row in rows])


def in_turn(contents: Sequence[str]) -> tuple[list[str], list[int]]:
    """The contents, each in the next of the styles."""
    turns = [i % len(PHRASES) for i in range(len(contents))]
    named = [f"{c}, in {PHRASES[k]} style" for c, k in zip(contents, turns, strict=True)]
    return named, turns


def pool(bench: Bench, null: Scored, source: str, like: Scored | None = None) -> NullPool:
    inside = () if like is None else like.rows(IN_STYLE)
    t = tuple(range(null.full.shape[1]))
    asked = basis.of(bench.backbone, STYLES, CONFIG)
    return NullPool(asked, "generated", (*null.rows(source), *inside), t=t)


def bound(count: int, n: int) -> float:
    """The upper end of the 95 % interval of a share (Clopper & Pearson 1934)."""
    return 1.0 if count == n else float(betaincinv(count + 1, n - count, 0.975))


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


def generated(bench: Bench, contents: Sequence[str]) -> Scored:
    """The choice on drawn pictures; returns those in the styles."""
    named, turns = in_turn(contents[400:520])
    null = bench.drawn("choice, no style", contents[:300], 11)
    inside = bench.drawn("choice, in a style", named, 12)
    null = bench.scored("choice, no style, content", null, contents[:300])
    inside = bench.scored("choice, in a style, content", inside, contents[400:520], turns)
    print("| choosing | statistic | AUC | named at the cut | right |\n|---|---|---|---|---|")
    compared("generated", null, inside)
    return inside


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--outside", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, default=Path("guda-false-names"))
    args = parser.parse_args()
    with Progress() as progress:
        report(Bench(args.out, progress), args.data, args.outside)


def report(bench: Bench, data: Path, outside: Sequence[Path]) -> None:
    splits = [listed(data / split / "Twemoji") for split in ("train", "heldout")]
    contents = [row["content"] for rows in splits for row in rows]
    random.Random(3).shuffle(contents)
    known = generated(bench, contents)
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
    pools = {}

    def generated_ones(form: str) -> None:
        def ask(source: str, given: Sequence[str], n: int, truth=-1) -> Scored:
            put = {"content": list(given), "none": [""] * len(given), "named": in_turn(given)[0]}
            n = len(given) if form == "content" else n
            some = truth if truth == -1 else truth[:n]
            return bench.scored(
                f"{source}, {form}", lambda: shown[source]()[:n], put[form][:n], some
            )

        like = known.part(slice(50)) if form == "content" else None
        pools[form] = pool(bench, ask("pool", free, FEWER), FREE, like)
        unrelated = ask("no style", queries, FEWEST)
        print(line(f"drawn without a style, {form}", unrelated, pools[form]))
        inside = ask("in a style", own, FEWEST, turns)
        print(line(f"drawn in a style, {form}", inside, pools[form]), flush=True)

    generated_ones("content")
    like, asked = split_by_style(real)
    folder = joined([others[n].part(slice(100)) for n in OUTSIDE[1::2]])
    own_pool = pool(bench, folder, FOLDER, like)
    same = joined([others[n].part(slice(100, None)) for n in OUTSIDE[1::2]])
    print(line("real, in a style", asked, own_pool))
    print(line("real, of the pool's own sets", same, own_pool))
    for name in OUTSIDE[::2]:
        print(line(f"real, {name} (sets that are not in the pool)", others[name], own_pool))
    for name, scored in far.items():
        print(line(f"{name}", scored, own_pool))
    print(line("real in a style, against a drawn pool", asked, pools["content"]))
    print(line("photographs, against a drawn pool", far["photographs"], pools["content"]))
    left_out(bench, shown, free[:FEWER], own, turns)
    for form in FORMS:
        generated_ones(form)
    everyday = list(CONTENTS)
    other = bench.drawn("everyday", everyday, 13)
    scored = bench.scored("everyday, content", other, everyday)
    print(line("drawn without a style, contents unlike the pool's", scored, pools["content"]))


def split_by_style(real: Scored) -> tuple[Scored, Scored]:
    """Ten of each style's pictures, and the others."""
    place = np.concatenate([np.arange((real.truth == k).sum()) for k in range(len(PHRASES))])
    return real.part(place < 10), real.part(place >= 10)


def real_ones(bench: Bench, data: Path, outside: Sequence[Path]):
    """Held-out pictures of the styles, those of other sets, and what is no emoji at all."""
    parts = []
    for k, group in enumerate(demo.STYLES):
        rows = listed(data / "heldout" / group)[:40]
        said = [row["content"] for row in rows]
        parts.append(bench.scored(f"real, {group}", read(bench, rows), said, k))
    rng, others = random.Random(5), {}
    for name in OUTSIDE:
        folders = [d / s / name for s in ("heldout", "train") for d in outside]
        rows = rng.sample([row for f in folders if f.is_dir() for row in listed(f)], 130)
        others[name] = bench.scored(
            f"outside, {name}", read(bench, rows), [row["content"] for row in rows]
        )
    seed = torch.Generator().manual_seed(0)
    noise = torch.rand(20, 3, 64, 64, generator=seed)
    flat = torch.rand(20, 3, 1, 1, generator=seed).expand(20, 3, 64, 64).contiguous()
    photographs = crops(rng)
    far = {
        "photographs": (lambda: photographs, "a photograph"),
        "noise": (lambda: noise, "noise"),
        "flat colours": (lambda: flat, "a flat colour"),
    }
    sizes = {"photographs": len(photographs), "noise": 20, "flat colours": 20}
    scored = {n: bench.scored(n, make, [said] * sizes[n]) for n, (make, said) in far.items()}
    return joined(parts), others, scored


def crops(rng: random.Random, each: int = 24) -> Tensor:
    """Square pieces of scikit-learn's two photographs."""
    from sklearn.datasets import load_sample_images

    cut = []
    for image in load_sample_images().images:
        photograph = torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255
        for _ in range(each):
            side = rng.randint(64, 300)
            y, x = (rng.randint(0, n - side) for n in photograph.shape[1:])
            cut.append(pictures.fit(photograph[:, y : y + side, x : x + side], 64))
    return torch.stack(cut)


def left_out(bench: Bench, shown: dict[str, Pictures], free, own, turns) -> None:
    """Each style left out of those that are asked for, and asked with its own pictures."""
    told = []
    for k, name in enumerate(STYLES.names):
        others = STYLES.subset([n for n in STYLES.names if n != name])
        index = [i for i, turn in enumerate(turns) if turn == k]
        some = [own[i] for i in index]
        null = bench.scored(
            f"pool without {name}", lambda: shown["pool"]()[:FEWER], free, styles=others
        )
        asked = bench.scored(
            f"left out, {name}", lambda at=index: shown["in a style"]()[at], some, styles=others
        )
        against = pool_of(bench, others, null)
        print(
            line(f"drawn in {name}, which is not asked for", asked, against, others.names),
            flush=True,
        )
        told.append(asked)


def pool_of(bench: Bench, styles: DirectCounterfactuals, null: Scored) -> NullPool:
    asked = basis.of(bench.backbone, styles, CONFIG)
    return NullPool(asked, "generated", null.rows(FREE), t=tuple(range(null.full.shape[1])))


if __name__ == "__main__":
    main()
