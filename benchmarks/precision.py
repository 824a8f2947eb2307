"""What half precision does to scores: deltas of the built-in model in each format, on a CPU.

    python benchmarks/precision.py [--evaluations 32] [--format float16 --format bfloat16]

Counterfactuals are random LoRAs of three sizes, the pictures are smooth noise. Printed is how far
the deltas lie from those in float32. float16 is slow on most CPUs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guda.backbone.files.load import DEMO, load
from guda.backbone.stable_diffusion import StableDiffusion
from guda.config import ElboConfig, UnlearnConfig
from guda.diffusion import LoraWeights
from guda.diffusion.noise import generator
from guda.scoring.differences import score_queries
from guda.scoring.elbo import Query
from guda.steps import drain

SIZES = (0.01, 0.02, 0.04)


def lora(backbone: StableDiffusion, size: float) -> LoraWeights:
    recipe = UnlearnConfig()
    with backbone.training_lora(
        modules=recipe.modules, rank=recipe.rank, alpha=recipe.lora_alpha, seed=0
    ) as fresh:
        weights = fresh.weights()
    rng = generator("precision", size)
    layers = {
        name: (size * torch.randn(up.shape, generator=rng), down)
        for name, (up, down) in weights.layers.items()
    }
    return LoraWeights(layers, weights.alpha)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=32)
    parser.add_argument("--format", action="append", choices=["bfloat16", "float16"])
    args = parser.parse_args()
    pictures = torch.rand(2, 3, 64, 64, generator=generator("pictures"))
    pictures = F.avg_pool2d(pictures, 5, 1, 2)

    def deltas(precision: str) -> np.ndarray:
        backbone = load(DEMO)
        loras = {str(size): lora(backbone, size) for size in SIZES}
        query = Query(
            backbone.encode_images(pictures),
            backbone.encode_prompts(["fox, in twemoji style", "pizza"]),
            ("p", "q"),
        )
        backbone.cast(precision, "cpu")
        config = ElboConfig(evaluations=args.evaluations)
        return drain(score_queries(backbone, loras, query, config)).contributions.sum(-1)

    exact = deltas("float32")
    print(
        f"float32: deltas of {len(SIZES)} LoRAs for 2 pictures, largest {abs(exact).max():.2f} nats"
    )
    for name in args.format or ["bfloat16", "float16"]:
        off = abs(deltas(name) - exact)
        print(f"{name}: largest deviation {off.max():.3f} nats, median {np.median(off):.3f}")


if __name__ == "__main__":
    main()
