"""Memory of the real Stable Diffusion UNets at work, counted on a machine without a GPU.

    python benchmarks/memory.py [--model sd15|sdxl] [--budget-unlearn 8] [--budget-score 4] [--real]

Counted is every tensor that lives at the same time: weights, LoRA, gradients, AdamW's moments and
activations, as float16 autocast on a GPU with fused attention makes them, on tensors without
contents, so it takes seconds. A driver's own memory (about 0.5 GB with CUDA) comes on top. `--real`
trains one float32 step with real random weights on the CPU and compares the count with what the
process took (Linux; needs 8 GB and minutes).
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guda.backbone.files.load import DEMO, load
from guda.backbone.stable_diffusion import StableDiffusion
from guda.bench.meter import metered
from guda.budget import footprint
from guda.config import ElboConfig
from guda.diffusion import Conditioning, LoraWeights, recomputing, training_attention
from guda.unlearning.recipe import STABLE_DIFFUSION

GB = 1e9
TRAINED: dict[str, Any] = {
    "modules": STABLE_DIFFUSION.modules,
    "rank": STABLE_DIFFUSION.rank,
    "alpha": STABLE_DIFFUSION.lora_alpha,
    "seed": 0,
}
MODELS: dict[str, dict] = {
    "sd15": {"sample_size": 64, "cross_attention_dim": 768},
    "sdxl": {
        "sample_size": 128,
        "cross_attention_dim": 2048,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": (5, 10, 20),
        "transformer_layers_per_block": (1, 2, 10),
        "use_linear_projection": True,
    },
}


def model(name: str, device: str, dtype: torch.dtype, weights: str = "meta") -> StableDiffusion:
    """The UNet of a published architecture; `weights` is where its tensors are made."""
    from diffusers import UNet2DConditionModel  # type: ignore[attr-defined]

    made = copy.copy(load(DEMO))
    with torch.device(weights):
        made.unet = UNet2DConditionModel(**MODELS[name])
    nn.Module.to(made.unet, dtype)
    made.unet.requires_grad_(False).eval()
    made.device, made.rest = torch.device(device), torch.device("cpu")
    made.resolution = MODELS[name]["sample_size"] * made._factor  # of which the latents are made
    width = MODELS[name]["cross_attention_dim"]
    made.encode_prompts = lambda prompts: Conditioning(torch.zeros(len(prompts), 77, width))
    made.ready = lambda: None
    return made


def lora(backbone: StableDiffusion) -> LoraWeights:
    """Zeros of the shapes that the recipe trains."""
    unreal = footprint.ghost(backbone)
    with unreal.training_lora(**TRAINED) as trained:
        shapes = {name: p.shape for name, p in trained.parameters().items()}
    layers = {
        name[:-3]: (torch.zeros(shape), torch.zeros(shapes[f"{name[:-3]}.down"]))
        for name, shape in shapes.items()
        if name.endswith(".up")
    }
    return LoraWeights(layers, STABLE_DIFFUSION.lora_alpha)


def row(label: str, made: footprint.Footprint) -> None:
    numbers = (made.weights, made.lora, made.optimizer, made.activations, made.total)
    print(f"{label:44}" + "".join(f"{n / GB:12.2f}" for n in numbers))


def planned(name: str, unlearn: float, score: float) -> None:
    backbone = model(name, "cuda", torch.float16)
    heads = ("weights", "LoRA+grad", "AdamW", "activations", "total GB")
    print(
        f"{name}, float16, {MODELS[name]['sample_size'] * 8} px, LoRA rank {STABLE_DIFFUSION.rank}"
    )
    print(f"{'pictures through the UNet at once':44}" + "".join(f"{h:>12}" for h in heads))
    whole = STABLE_DIFFUSION.batch_size + STABLE_DIFFUSION.retain_batch_size
    for rows in (1, 2, whole):
        for again in (False, True):
            label = f"unlearning, {rows}{', gradient checkpointing' if again else ''}"
            row(label, footprint.training(backbone, STABLE_DIFFUSION, rows, checkpointing=again))
    weights = lora(backbone)
    for rows in (1, 8, ElboConfig().batch_size):
        row(f"scoring, {rows}", footprint.scoring(backbone, weights, rows))

    def train(n: int, again: bool) -> footprint.Footprint:
        return footprint.training(backbone, STABLE_DIFFUSION, n, checkpointing=again)

    free = unlearn * GB * rows.MARGIN
    again = train(1, False).total > free
    n = rows.largest(lambda n: train(n, again), whole, free)
    print(f"\nPlanned with {unlearn:g} GB for unlearning and {score:g} GB for scoring:")
    row(f"unlearning, {n}{', gradient checkpointing' if again else ''}", train(n, again))
    n = rows.largest(
        lambda n: footprint.scoring(backbone, weights, n),
        ElboConfig().batch_size,
        score * GB * rows.MARGIN,
    )
    row(f"scoring, {n}", footprint.scoring(backbone, weights, n))


def real(name: str) -> None:
    """One step on one picture with gradient checkpointing: counted, and what the process took."""
    backbone = model(name, "cpu", torch.float32, "cpu")
    counted = footprint.training(backbone, STABLE_DIFFUSION, 1, checkpointing=True)
    print(f"\n{name}, float32, CPU: {counted.weights / GB:.2f} GB of weights")
    side = MODELS[name]["sample_size"]
    x_t, t = torch.zeros(1, 4, side, side), torch.tensor([500])
    condition = backbone.encode_prompts([""])
    with (
        metered(nn.Module) as cost,
        backbone.training_lora(**TRAINED) as trained,
        recomputing(backbone.unet),
        training_attention(backbone.device, side**2),
    ):
        known = [*backbone.unet.parameters(), *backbone.unet.buffers()]
        optimizer = torch.optim.AdamW(trained.parameters().values(), lr=1e-4)
        with footprint.Live(known) as live:
            backbone.predict_eps(x_t, t, condition).square().mean().backward()
        optimizer.step()
    print(f"a step on one picture with gradient checkpointing took {cost.seconds:.0f} s")
    took = (cost.peak_mib or 0) * 2**20 / GB
    ghost, seen = counted.activations + counted.lora // 2, live.peak
    beside = (counted.total - counted.weights) / GB
    print(
        f"activations and gradients: {ghost / GB:.3f} GB without contents, {seen / GB:.3f} GB real"
    )
    print(f"beside the weights: {beside:.2f} GB counted; the process took {took:.2f} GB,")
    print("which has the scratch memory of the CPU's kernels and the gaps of the allocator in it")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", choices=sorted(MODELS), default="sd15")
    parser.add_argument("--budget-unlearn", type=float, default=8.0, metavar="GB")
    parser.add_argument("--budget-score", type=float, default=4.0, metavar="GB")
    parser.add_argument("--real", action="store_true", help="also train a real step on the CPU")
    args = parser.parse_args()
    planned(args.model, args.budget_unlearn, args.budget_score)
    if args.real:
        real(args.model)


if __name__ == "__main__":
    main()
