"""What the scripts share that ask the built-in model about many pictures: no script itself.

Scores are kept in a folder, so that a statistic can be changed without scoring again.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from guda import demo
from guda.backbone.files.load import DEMO, load
from guda.cli import Progress
from guda.config import ElboConfig, SampleConfig
from guda.counterfactuals import CounterfactualSet
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.groups import pictures
from guda.groups.draw import draw
from guda.jobs import basis
from guda.jobs.attribute import AttributeRequest, survey
from guda.jobs.basis import Without
from guda.scoring.null import IN_STYLE, NullPicture, NullPool
from guda.steps import drain

STYLES = DirectCounterfactuals.named(demo.STYLES)
PHRASES = tuple(demo.STYLES.values())
CONFIG = ElboConfig(batch_size=96)
OUTSIDE = ("OpenMoji", "Fluent Flat", "Noto", "FxEmojis")
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


@dataclass(frozen=True)
class Source:
    """Pictures of one kind, what each is asked with, and the style's number, or -1."""

    name: str
    shown: Pictures
    prompts: Sequence[str]
    truth: Sequence[int] | int = -1

    def first(self, n: int) -> Source:
        truth = self.truth if isinstance(self.truth, int) else self.truth[:n]
        return replace(self, prompts=self.prompts[:n], truth=truth)


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
        self, source: Source, without: Without = STYLES, config: ElboConfig = CONFIG
    ) -> Scored:
        """With LoRAs where `without` is a set."""
        loras = isinstance(without, CounterfactualSet)
        path = self.out / f"{'lora, ' if loras else ''}{source.name}.npz"
        if not path.exists():
            names = [f"{source.name} {i}" for i in range(len(source.prompts))]
            some = list(source.shown())[: len(names)]
            asked = AttributeRequest(self.backbone, without, some, names, source.prompts, config)
            _, gaps = drain(survey(asked).measure(look=False), self.progress)
            np.savez(path, c=gaps.contributions, full=gaps.full)
        kept = np.load(path)
        n = len(source.prompts)
        truth = np.broadcast_to(np.asarray(source.truth), n)
        form = basis.forms(STYLES, source.prompts)[0]
        return Scored(kept["c"][:n], kept["full"][:n], truth, form)


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


def options(parser: argparse.ArgumentParser) -> None:
    """The folders, as training/emoji.py makes them with `train` and `heldout` in each."""
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--outside", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, default=Path("guda-false-names"))


def contents_of(data: Path) -> list[str]:
    """What the pictures of the styles show, in an order by chance."""
    splits = [listed(data / split / "Twemoji") for split in ("train", "heldout")]
    contents = [row["content"] for rows in splits for row in rows]
    random.Random(3).shuffle(contents)
    return contents


def pool(
    bench: Bench,
    null: Scored,
    source: str,
    like: Scored | None = None,
    without: Without = STYLES,
) -> NullPool:
    inside = () if like is None else like.rows(IN_STYLE)
    t = tuple(range(null.full.shape[1]))
    asked = basis.of(bench.backbone, without, CONFIG)
    return NullPool(asked, "generated", (*null.rows(source), *inside), t=t)


def bound(count: int, n: int) -> float:
    """The upper end of the 95 % interval of a share (Clopper & Pearson 1934)."""
    return 1.0 if count == n else float(betaincinv(count + 1, n - count, 0.975))


def split_by_style(real: Scored) -> tuple[Scored, Scored]:
    """Ten of each style's pictures, and the others."""
    place = np.concatenate([np.arange((real.truth == k).sum()) for k in range(len(PHRASES))])
    return real.part(place < 10), real.part(place >= 10)


def real_sources(bench: Bench, data: Path, outside: Sequence[Path]) -> dict[str, Source]:
    """Held-out pictures of the styles, those of other sets, and what is no emoji at all."""
    told = []
    for k, group in enumerate(demo.STYLES):
        rows = listed(data / "heldout" / group)[:40]
        told.append(Source(f"real, {group}", read(bench, rows), said(rows), k))
    rng = random.Random(5)
    for name in OUTSIDE:
        folders = [d / s / name for s in ("heldout", "train") for d in outside]
        rows = rng.sample([row for f in folders if f.is_dir() for row in listed(f)], 130)
        told.append(Source(f"outside, {name}", read(bench, rows), said(rows)))
    seed = torch.Generator().manual_seed(0)
    noise = torch.rand(20, 3, 64, 64, generator=seed)
    flat = torch.rand(20, 3, 1, 1, generator=seed).expand(20, 3, 64, 64).contiguous()
    photographs = photographed(rng)
    told += [
        Source("photographs", lambda: photographs, ["a photograph"] * len(photographs)),
        Source("noise", lambda: noise, ["noise"] * 20),
        Source("flat colours", lambda: flat, ["a flat colour"] * 20),
    ]
    return {source.name: source for source in told}


def said(rows: Sequence[dict]) -> list[str]:
    return [row["content"] for row in rows]


def real_ones(bench: Bench, data: Path, outside: Sequence[Path]):
    """The scores of `real_sources`: in the styles, by name of other sets, and of the rest."""
    told = {n: bench.scored(source) for n, source in real_sources(bench, data, outside).items()}
    parts = joined([scored for name, scored in told.items() if name.startswith("real, ")])
    others = {name: told[f"outside, {name}"] for name in OUTSIDE}
    return parts, others, {n: told[n] for n in ("photographs", "noise", "flat colours")}


def photographed(rng: random.Random) -> Tensor:
    """Square pieces of scikit-learn's two photographs."""
    from sklearn.datasets import load_sample_images

    return torch.cat([crops(image, rng) for image in load_sample_images().images])


def crops(image: np.ndarray, rng: random.Random, each: int = 24) -> Tensor:
    """(each, 3, 64, 64) square pieces of an (H, W, 3) picture."""
    whole, cut = torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255, []
    for _ in range(each):
        side = rng.randint(64, min(300, *whole.shape[1:]))
        y, x = (rng.randint(0, n - side) for n in whole.shape[1:])
        cut.append(pictures.fit(whole[:, y : y + side, x : x + side], 64))
    return torch.stack(cut)
