"""Styles: groups of captioned pictures, text-conditional; the paper's UnlearnCanvas in small.

Any folder of groups will do (the emoji sets of training/emoji.py, or a user's own); contents are
held out in all groups alike for queries on real pictures. Five kinds of queries, of which only the
first gives the style away:

    prompted    drawn for "fox, in twemoji style", asked with that prompt
    no style    drawn for and asked with "fox"
    two styles  drawn for and asked with "fox, in twemoji and ink style"
    wrong word  drawn for "fox, in twemoji style", asked with "fox, in ink style"
    real        a held-out picture, asked with "fox"
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from ..backbone import build
from ..backbone.files.load import DEMO, load
from ..config import ElboConfig, SampleConfig, UnlearnConfig
from ..demo import CONTENTS, STYLES
from ..diffusion.noise import picture_key
from ..errors import ConfigError
from ..groups import Example, StyleGroups, check_pictures, from_prompts, load_folder, pictures
from ..groups.draw import draw, generate_pictures
from ..settings import digest
from ..steps import Steps, drain
from .benchmark import Base, Benchmark, Guda, Model, Questions
from .train import TrainConfig

HELDOUT = 0.1
KINDS = {"prompted": 6, "no style": 4, "two styles": 4, "wrong word": 4, "real": 4}
"""Queries of each kind, in tenths of the split's size."""
SIZES = {"test": 140, "dev": 80}

SHORT = UnlearnConfig(
    steps=150,
    lr=4e-3,
    batch_size=16,
    retain_batch_size=16,
    checkpoint_every=1000,
    caption_dropout=0.0,
)
"""What the recipes are compared with."""
LORA = SHORT.replace(steps=300, modules="all", rank=32, caption_dropout=0.5, preserve_weight=3.0)
"""The best of `benchmarks/recipes.py styles`, on the dev split."""
QUICK = SHORT.replace(steps=40, modules="all", rank=32)
"""Caption dropout and a larger lambda rank no better than chance in so few steps."""
LEARNED = TrainConfig(steps=3000, lr=1e-3, batch_size=32, bfloat16=True, warmup=50)
ON_BASE = LEARNED.replace(batch_size=64)
"""Of 32 pictures a step the model learns three styles of six, of 128 it knows its pictures by heart
and says less of others (direct answers on held-out pictures: .66, .50; with 64: .69)."""
RECIPES = {"GUDA (AWSS, LoRA)": LORA}
KL = ElboConfig(evaluations=64, shape="square")
DIRECT = {
    f"direct, {mixture}": ("direct", {"elbo": KL.replace(evaluations=16, mixture=mixture)})
    for mixture in ("posterior", "uniform", "simplex")
}
BASELINES = {
    **DIRECT,
    **{
        f"direct, {n} evaluations": ("direct", {"elbo": KL.replace(evaluations=n)})
        for n in (4, 8, 32, 64)
    },
    "direct, eps weights": ("direct", {"elbo": KL.replace(evaluations=16, weighting="eps")}),
    "direct, error ratios": (
        "direct",
        {"elbo": KL.replace(evaluations=16), "statistic": "ratio"},
    ),
    "diffusion classifier": ("diffusion_classifier", {"elbo": KL.replace(evaluations=16)}),
    "random": ("random", {}),
    "class label": ("class_label", {}),
    "class label, -log(1 - P)": ("class_label", {"as_delta": True}),
    "similarity, latents (10-NN)": ("latent_knn", {}),
    "similarity, UNet features": ("feature_prototype", {}),
    "TRAK": ("trak", {"parameters": "attention"}),
    "D-TRAK": ("dtrak", {"parameters": "attention"}),
}


def benchmark(out: Path, quick: bool, data: Path | None, base: Path | None = None) -> Benchmark:
    """The whole benchmark on the groups in `data`; with `quick` three groups and few steps.

    base: a folder of other groups, which every model learns before these. A quick run without
    `data` learns from pictures that the built-in model draws.
    """
    if data is not None:
        groups = load_folder(data)
        check_pictures(groups)
    elif quick:
        groups = drawn_by_the_demo(out / "pictures")
    else:
        raise ConfigError(
            "The styles benchmark needs pictures: give --data with a folder of groups (one "
            "subfolder per style), or run it with --quick; training/emoji.py builds the emoji sets."
        )
    if quick:
        groups = groups.subset(groups.names[:3])
    known, held = split(groups)

    def ask(model: Model, split_name: str) -> Steps[Questions]:
        return questions(model, known, held, split_name, 10 if quick else SIZES[split_name])

    elbo = KL.replace(evaluations=32 if quick else 64)
    recipes = {"GUDA (AWSS, LoRA)": QUICK} if quick else RECIPES
    ways = {name: Guda(recipe, elbo) for name, recipe in recipes.items()}
    if not quick:
        ways["GUDA (AWSS, LoRA, eps weights)"] = Guda(LORA, elbo.replace(weighting="eps"))
        ways["GUDA (AWSS, LoRA, error ratios)"] = Guda(LORA, elbo, ratios=True)
    few = ("direct, posterior", "random", "class label", "similarity, latents (10-NN)")
    return Benchmark(
        name="styles",
        title="Styles: text-conditional, retraining without one style",
        groups=known,
        fresh=fresh,
        train=LEARNED.replace(steps=100) if quick else LEARNED if base is None else ON_BASE,
        base=None if base is None else Base(load_folder(base), LEARNED),
        ask=ask,
        guda=ways,
        baselines={n: b for n, b in BASELINES.items() if not quick or n in few},
        reference=KL.replace(seed=1000),
        seeds=(1, 2) if quick or base is None else (1, 2, 3, 4, 5),
        together={"direct + GUDA (LoRA)": ("direct, posterior", "GUDA (AWSS, LoRA)")},
        screening=("direct, posterior", "GUDA (AWSS, LoRA)"),
        budgets=(8, 32) if quick else (),
        repeats=2 if quick else 0,
        long=256,
    )


def fresh(seed: int) -> Model:
    backbone = build.styles(seed)
    return Model(backbone, {"unet": backbone.unet, "text_encoder": backbone.text_encoder})


def drawn_by_the_demo(cache: Path) -> StyleGroups:
    """The built-in model's own pictures of its styles."""
    groups = from_prompts(STYLES, CONTENTS, pictures=len(CONTENTS))
    return drain(generate_pictures(load(DEMO), groups, SampleConfig(steps=10), cache))


def split(groups: StyleGroups) -> tuple[StyleGroups, dict[str, list[Example]]]:
    """The groups without the held-out contents, and those contents' pictures by group."""

    def is_held(example: Example) -> bool:
        return int(digest("bench", example.content), 16) % 1000 < 1000 * HELDOUT

    held = {g.name: [e for e in g.examples if is_held(e)] for g in groups}
    if not all(held.values()):
        name = next(n for n, examples in held.items() if not examples)
        raise ConfigError(
            f"The group {name!r} has no held-out content; give each group at least thirty pictures "
            "of different contents."
        )
    known = tuple(
        dataclasses.replace(g, examples=tuple(e for e in g.examples if not is_held(e)))
        for g in groups
    )
    return StyleGroups(known, groups.source, groups.reading), held


def questions(
    model: Model,
    groups: StyleGroups,
    held: dict[str, list[Example]],
    split_name: str,
    size: int,
) -> Steps[Questions]:
    """The five kinds of queries, the groups in turn."""
    seed = {"test": 21, "dev": 22}[split_name]
    rng = np.random.default_rng(seed)
    names, count = list(groups.names), len(groups)
    drawn_for, asked, kinds, named = [], [], [], []
    for kind, tenths in KINDS.items():
        if kind == "real":
            continue
        for i in range(size * tenths // 10):
            own = i % count
            other = (own + 1 + int(rng.integers(count - 1))) % count
            a, b = groups.groups[own], groups.groups[other]
            example = a.examples[int(rng.integers(len(a.examples)))]
            full, wrong = example.prompt(a.style), example.prompt(b.style)
            plain, both = example.styleless(), example.prompt(f"{a.style} and {b.style}")
            draws, asks, names_it = {
                "prompted": (full, full, own),
                "no style": (plain, plain, -1),
                "two styles": (both, both, -1),
                "wrong word": (full, wrong, other),
            }[kind]
            drawn_for.append(draws)
            asked.append(asks)
            kinds.append(kind)
            named.append(names_it)
    drawn = yield from draw(model.backbone, drawn_for, SampleConfig(seed=seed, batch_size=64))
    real = []
    for i in range(size * KINDS["real"] // 10):
        pool = held[names[i % count]][{"test": 0, "dev": 1}[split_name] :: 2]
        pool = pool or held[names[i % count]]
        example = pool[int(rng.integers(len(pool)))]
        assert example.path is not None  # read from a folder
        real.append(pictures.load(example.path, model.backbone.resolution))
        asked.append(example.styleless())
        kinds.append("real")
        named.append(-1)
    shown = torch.cat([drawn, torch.stack(real)])
    return Questions(
        pictures=shown,
        prompts=tuple(asked),
        keys=tuple(picture_key(p) for p in shown),
        kinds=tuple(kinds),
        named=np.array(named),
    )
