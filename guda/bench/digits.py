"""Digits: ten classes of 8 x 8 pixels, unconditional; the paper's CIFAR-10 experiment in small.

Pictures are scikit-learn's digits, enlarged to 16 pixels (what `guda` takes at least) and undone by
the model's `shrink`. A fifth of every class is held out for real and blended queries: half for the
split "test", half for "dev".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..backbone import build
from ..config import ElboConfig, SampleConfig, UnlearnConfig
from ..diffusion.noise import generator, picture_key
from ..errors import ConfigError
from ..groups import Example, Group, StyleGroups
from ..groups.draw import draw
from ..groups.pictures import save_png
from ..steps import Steps
from .benchmark import BUDGETS, Benchmark, Guda, Model, Questions
from .train import TrainConfig

HELDOUT = 0.2
SHORT = UnlearnConfig(
    operator="retrack",
    modules="all",
    rank=8,
    steps=100,
    lr=2e-3,
    batch_size=64,
    retain_batch_size=64,
    preserve_weight=1.0,
    timesteps="uniform",
    warmup=5,
    checkpoint_every=1000,
    caption_dropout=0.0,
)
LORA = SHORT.replace(steps=400, preserve_weight=3.0)
"""The best of `benchmarks/recipes.py digits`, on the dev split; so are the baselines' settings."""
RECIPES = {
    "GUDA (ReTrack, LoRA)": LORA,
    "GUDA (ReTrack, LoRA, 100 steps)": SHORT,
    "GUDA (ReTrack, full, 100 steps)": SHORT.replace(modules="full", lr=5e-4),
    "GUDA (teacher-anchored, 100 steps)": SHORT.replace(operator="teacher_anchored", kl_cap=8.0),
    "GUDA (ESD, 100 steps)": SHORT.replace(operator="esd"),
    "gradient ascent": SHORT.replace(operator="gradient_ascent", lr=5e-4),
    "retain-only fine-tuning": SHORT.replace(operator="retain_only"),
}
BASELINES = {
    "random": ("random", {}),
    "class label": ("class_label", {}),
    "similarity, pixels (10-NN)": ("latent_knn", {}),
    "similarity, UNet features": ("feature_prototype", {}),
    "TRAK": ("trak", {"regularization": 0.1}),
    "D-TRAK": ("dtrak", {"regularization": 0.01}),
    "DAS": ("das", {"regularization": 0.01}),
    "EK-FAC influence": ("ekfac", {}),
    "instance unlearning": ("instance", {}),
}


def benchmark(out: Path, quick: bool) -> Benchmark:
    """The whole benchmark, or with `quick` five classes, few steps and 48 queries."""
    train, held = split(5 if quick else 10)
    groups = write(train, out / "pictures")
    size = 16 if quick else 64

    def ask(model: Model, split_name: str) -> Steps[Questions]:
        return questions(model, held, split_name, size)

    recipes = RECIPES
    if quick:
        recipes = {
            name: RECIPES[name].replace(steps=40, batch_size=32, retain_batch_size=32)
            for name in ("GUDA (ReTrack, LoRA)", "GUDA (ESD, 100 steps)")
        }
    elbo = ElboConfig(evaluations=32 if quick else 64, batch_size=256, shape="square")
    few = ("random", "class label", "similarity, pixels (10-NN)")
    return Benchmark(
        name="digits",
        title="Digits: unconditional, retraining without one class",
        groups=groups,
        fresh=fresh,
        train=TrainConfig(steps=125 if quick else 2000, batch_size=64),
        ask=ask,
        guda={name: Guda(recipe, elbo) for name, recipe in recipes.items()},
        baselines={n: b for n, b in BASELINES.items() if not quick or n in few},
        reference=ElboConfig(
            evaluations=64 if quick else 256, batch_size=256, seed=1000, shape="square"
        ),
        seeds=(1, 2) if quick else (1, 2, 3),
        budgets=(8, 32) if quick else BUDGETS,
        repeats=2 if quick else 8,
        long=256 if quick else 2048,
    )


def fresh(seed: int) -> Model:
    backbone = build.digits(seed)
    return Model(backbone, {"unet": backbone.unet})


def split(classes: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Training and held-out digits by class, (n, 3, 16, 16) in [0, 1]."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ConfigError(
            "The digits benchmark needs scikit-learn, which is not installed; run "
            '"pip install -e .[bench]".'
        ) from None
    found: Any = load_digits()
    train, held = {}, {}
    for k in range(classes):
        x = torch.from_numpy(found.images[found.target == k] / 16).float()
        order = torch.randperm(len(x), generator=generator("digits split", k))
        x = x[order].repeat_interleave(2, 1).repeat_interleave(2, 2)
        x = x[:, None].expand(-1, 3, -1, -1)
        n = round(len(x) * HELDOUT)
        train[str(k)], held[str(k)] = x[n:], x[:n]
    return train, held


def write(pictures: dict[str, Tensor], root: Path) -> StyleGroups:
    """One folder of PNGs per class, as the product reads them."""
    groups = []
    for name, x in pictures.items():
        examples = []
        for i, picture in enumerate(x):
            path = root / name / f"{i:03}.png"
            if not path.is_file():
                save_png(picture, path)
            examples.append(Example(f"{i:03}", "digit", "digit {style}", path))
        groups.append(Group(name, f"digit-{name}", f"class {name}", (), tuple(examples)))
    return StyleGroups(tuple(groups), "folder")


def questions(
    model: Model, held: dict[str, Tensor], split_name: str, size: int
) -> Steps[Questions]:
    """2 x size generated digits, size held-out ones and size blends of two held-out ones."""
    seed = {"test": 11, "dev": 12}[split_name]
    sampling = SampleConfig(steps=50, seed=seed, batch_size=256)
    generated = yield from draw(model.backbone, [""] * 2 * size, sampling)
    rng = np.random.default_rng(seed)
    part = {"test": 0, "dev": 1}[split_name]
    pool = [(k, x) for k, xs in enumerate(held.values()) for x in xs[part::2]]
    real = [pool[i][1] for i in rng.permutation(len(pool))[:size]]
    blends = []
    while len(blends) < size:
        (a, x), (b, y) = (pool[i] for i in rng.integers(len(pool), size=2))
        if a != b:
            blends.append((x + y) / 2)
    pictures = torch.cat([generated, torch.stack(real), torch.stack(blends)])
    kinds = ("generated",) * 2 * size + ("held-out",) * len(real) + ("blend",) * size
    return Questions(
        pictures=pictures,
        prompts=("",) * len(pictures),
        keys=tuple(picture_key(p) for p in pictures),
        kinds=kinds,
        named=np.full(len(pictures), -1),
    )
