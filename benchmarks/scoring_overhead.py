"""What the engine costs beside the UNet: scoring against the same number of bare UNet forwards.

    python benchmarks/scoring_overhead.py [--images 4] [--evaluations 64] [--batch-size 32]

Both run on the built-in model in one process, alternately, on the same batches; printed is the
median time of each and their ratio. Untrained counterfactuals cost what trained ones do.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guda import demo
from guda.backbone.files.load import DEMO, load
from guda.config import ElboConfig, UnlearnConfig
from guda.scoring.differences import score_queries
from guda.scoring.elbo import Query
from guda.steps import drain


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--evaluations", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    backbone = load(DEMO)
    recipe = UnlearnConfig()
    loras = {}
    for name in demo.STYLES:
        with backbone.training_lora(
            modules=recipe.modules, rank=recipe.rank, alpha=recipe.lora_alpha, seed=0
        ) as lora:
            loras[name] = lora.weights()
    pictures = torch.rand(args.images, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    query = Query(
        backbone.encode_images(pictures),
        backbone.encode_prompts([f"picture {i}" for i in range(args.images)]),
        tuple(map(str, range(args.images))),
    )
    config = ElboConfig(evaluations=args.evaluations, batch_size=args.batch_size)
    rows = args.images * args.evaluations * (len(loras) + 1)
    full, rest = divmod(rows, args.batch_size)
    sizes = [args.batch_size] * full + [rest] * (rest > 0)
    x, t = torch.randn(args.batch_size, *query.latents.shape[1:]), torch.arange(args.batch_size)
    embeds = query.condition.embeds[:1].expand(args.batch_size, -1, -1).contiguous()

    def bare() -> None:
        for n in sizes:
            backbone.unet(x[:n], t[:n], encoder_hidden_states=embeds[:n])

    def scoring() -> None:
        drain(score_queries(backbone, loras, query, config))

    times: dict[str, list[float]] = {"bare": [], "scoring": []}
    for _ in range(args.rounds + 1):
        for name, work in (("bare", bare), ("scoring", scoring)):
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    bare_time, scoring_time = (statistics.median(v[1:]) for v in times.values())
    ratios = [s / b for s, b in zip(times["scoring"][1:], times["bare"][1:], strict=True)]
    print(f"{rows} UNet evaluations: bare {bare_time:.2f} s, scoring {scoring_time:.2f} s")
    print(f"scoring / bare: {statistics.median(ratios):.3f} (median of {args.rounds} rounds)")


if __name__ == "__main__":
    main()
