"""What retraining, unlearning and scoring cost, at the benchmark's and at the paper's scale.

    python benchmarks/cost.py [--rounds 5]

Times per picture are measured on the digits model in one process, in turn; a picture that is scored
against a group is one evaluation. The paper's numbers of steps are those of its reference code for
CIFAR-10 (sony/guda): 2,400 epochs of nine classes against 30 epochs of forget and retain batches.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guda.backbone import lora
from guda.bench import digits
from guda.bench.train import train
from guda.groups.encode import encode_groups
from guda.scoring.differences import score_queries
from guda.scoring.elbo import Query
from guda.steps import drain
from guda.unlearning.recipe import STABLE_DIFFUSION
from guda.unlearning.train import unlearn_group

STEPS = 20


@dataclass(frozen=True)
class Scale:
    """Pictures seen per group by retraining and by unlearning, and what is asked."""

    name: str
    retrained: int
    unlearned: int
    queries: int
    evaluations: int
    groups: int = 10


PAPER = Scale("paper (CIFAR-10)", 2400 * 45_000, 30 * 2 * 5_000, 2048, 400)
FEWER = replace(PAPER, name="paper, 64 evaluations", evaluations=64)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        seconds, small = measure(Path(folder), args.rounds)
    print("Milliseconds per picture:", *(f"{k} {1e3 * v:.2f}" for k, v in seconds.items()))
    print("\n| scale | retraining all groups | unlearning | scoring | GUDA : retraining |")
    print("|---|---|---|---|---|")
    for scale in (small, PAPER, FEWER):
        retrained = scale.groups * scale.retrained * seconds["training"]
        unlearned = scale.groups * scale.unlearned * seconds["unlearning"]
        scored = (scale.groups + 1) * scale.queries * scale.evaluations * seconds["scoring"]
        cells = [f"{x:,.0f} s" for x in (retrained, unlearned, scored)]
        share = retrained / (unlearned + scored)
        print(f"| {scale.name} | {' | '.join(cells)} | 1 : {share:.0f} |")
    own, whole = disk()
    print(
        f"\nDisk per group, Stable Diffusion 1.5: {own / 2**20:.1f} MiB (LoRA of its recipe); full "
        f"UNet and AdamW's state {whole / 2**20:,.0f} MiB; 1 : {whole / own:.0f}"
    )


def measure(folder: Path, rounds: int) -> tuple[dict[str, float], Scale]:
    """Median seconds per picture of every kind of work, and the benchmark's own scale."""
    bench = digits.benchmark(folder, quick=False)
    model, method = bench.fresh(0), next(iter(bench.guda.values()))
    recipe, config = method.recipe, bench.train
    encoded = drain(encode_groups(model.backbone, bench.groups, heldout=0.1))
    name, one = next(iter(encoded.items()))
    blank = model.backbone.encode_prompts([""] * len(one.latents))
    query = Query(one.latents, blank, tuple(map(str, range(len(one.latents)))))

    def training() -> Iterator:
        path = folder / "never.safetensors"
        return train(model, encoded, None, config, 0, path)

    def unlearning() -> Iterator:
        return unlearn_group(model.backbone, bench.groups, encoded, name, recipe)

    def scoring() -> Iterator:
        return score_queries(model.backbone, {}, query, method.elbo)

    works: dict[Callable[[], Iterator], int] = {
        training: config.batch_size,
        unlearning: recipe.batch_size + recipe.retain_batch_size,
        scoring: method.elbo.batch_size,
    }
    times: dict[str, list[float]] = {w.__name__: [] for w in works}
    for _ in range(rounds):
        for work, pictures in works.items():
            steps = work()
            next(steps)  # with what is done once before the first step
            started = time.perf_counter()
            for _ in range(STEPS):
                next(steps)
            times[work.__name__].append((time.perf_counter() - started) / STEPS / pictures)
            steps.close()  # type: ignore[attr-defined]
    ours = Scale(
        "digits",
        config.steps * config.batch_size,
        recipe.steps * (recipe.batch_size + recipe.retain_batch_size),
        256,
        method.elbo.evaluations,
    )
    return {k: statistics.median(v) for k, v in times.items()}, ours


def disk() -> tuple[int, int]:
    """Bytes of one counterfactual, and of a UNet with AdamW's state, float32."""
    from diffusers import UNet2DConditionModel  # type: ignore[attr-defined]

    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768)  # the class's defaults are SD 1.x's
        whole = 3 * 4 * sum(p.numel() for p in unet.parameters())
        with lora.trainable(
            unet,
            modules=STABLE_DIFFUSION.modules,
            rank=STABLE_DIFFUSION.rank,
            alpha=STABLE_DIFFUSION.lora_alpha,
            seed=0,
        ) as made:
            return 4 * sum(p.numel() for p in made.parameters().values()), whole


if __name__ == "__main__":
    main()
