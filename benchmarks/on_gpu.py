"""What real Stable Diffusion UNets cost on this machine's GPU, and what half precision does there.

    python benchmarks/on_gpu.py [--model sd15] [--model sdxl] [--styles 5 20 60] [--format float16]

The architectures are the published ones, the weights random: times and memory are those of real
checkpoints, the deltas' deviation from float32 is of their order at most. Printed are the seconds
of a direct answer for one picture by the number of styles, of scoring with a LoRA and of a step of
unlearning, each with the memory that was planned and that the device gave; and how far the
deltas of a LoRA lie from those in float32. `--model builtin` runs anywhere.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.memory import GB, MODELS, TRAINED, lora, model
from guda.backbone import precision
from guda.backbone.files.load import DEMO, load
from guda.backbone.stable_diffusion import StableDiffusion
from guda.budget import footprint
from guda.config import DIRECT_EVALUATIONS, ElboConfig
from guda.diffusion import Conditioning, LoraWeights, training_attention
from guda.diffusion.noise import generator
from guda.scoring.differences import score_queries
from guda.scoring.direct import Prompts, score_directly
from guda.scoring.elbo import Query
from guda.steps import drain
from guda.unlearning.recipe import STABLE_DIFFUSION

FORMATS = ("float32", "bfloat16", "float16")
WHOLE = STABLE_DIFFUSION.batch_size + STABLE_DIFFUSION.retain_batch_size


def made(name: str, device: str, dtype: torch.dtype) -> StableDiffusion:
    """The model on the device, with the same random weights in every format."""
    if name == "builtin":
        backbone = load(DEMO)
        backbone.move(device)
        precision.cast(backbone.unet, dtype)
        return backbone
    torch.manual_seed(0)
    backbone = model(name, device, torch.float32, device)
    precision.cast(backbone.unet, dtype)
    width = MODELS[name]["cross_attention_dim"]

    def encode_prompts(prompts) -> Conditioning:
        rows = [torch.randn(77, width, generator=generator("prompt", p)) for p in prompts]
        return Conditioning(torch.stack(rows).to(device))

    backbone.encode_prompts = encode_prompts  # type: ignore[method-assign]
    return backbone


def picture(backbone: StableDiffusion) -> Query:
    latents = torch.randn(1, *backbone.latent_shape, generator=generator("latents"))
    return Query(latents, backbone.encode_prompts(["a fox"]), ("picture",))


def changed(backbone: StableDiffusion) -> LoraWeights:
    """The recipe's LoRA with random numbers, which moves answers by about a hundredth."""
    zeros = lora(backbone)
    layers = {
        name: (
            0.02 * torch.randn(up.shape, generator=generator("up", name)),
            torch.randn(down.shape, generator=generator("down", name)) / down.shape[1] ** 0.5,
        )
        for name, (up, down) in zeros.layers.items()
    }
    return LoraWeights(layers, zeros.alpha)


def timed(device: str, work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it returned, its seconds, and the most memory that it held at a time in GB."""
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    result = work()
    if cuda:
        torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() / GB if cuda else float("nan")
    return result, time.perf_counter() - started, peak


def direct(backbone: StableDiffusion, styles: int) -> Callable[[], Any]:
    asked = tuple(f"a fox, in style {k}" for k in range(styles))
    prompts, config = Prompts((asked,), ("a fox",)), ElboConfig()
    return lambda: drain(score_directly(backbone, prompts, picture(backbone), config))


def step(backbone: StableDiffusion, rows: int, trained: Any, optimizer: Any) -> Callable[[], Any]:
    """A step of GUDA-C: the full model's answer, and a step towards it."""
    x_t = torch.randn(rows, *backbone.latent_shape, generator=generator("x_t"))
    t, condition = torch.full((rows,), 500), backbone.encode_prompts(["a fox"] * rows)
    locations = footprint.locations(backbone)

    def once() -> float:
        with training_attention(backbone.device, locations):
            with torch.no_grad(), trained.off():
                target = backbone.predict_eps(x_t, t, condition)
            loss = (backbone.predict_eps(x_t, t, condition) - target - 0.1).square().mean()
            (loss * 1024).backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return once


def unlearning(backbone: StableDiffusion, device: str) -> None:
    planned = footprint.training(backbone, STABLE_DIFFUSION, WHOLE, checkpointing=False)
    with backbone.training_lora(**TRAINED) as trained:
        optimizer = torch.optim.AdamW(trained.parameters().values(), lr=1e-4)
        once = step(backbone, WHOLE, trained, optimizer)
        once()
        _, seconds, peak = timed(device, lambda: [once() for _ in range(3)])
    row(f"a step of unlearning, {WHOLE} pictures", seconds / 3, peak, planned.total / GB)


def row(what: str, seconds: float, peak: float, planned: float) -> None:
    print(f"  {what:48}{seconds:10.3f} s{peak:9.2f} GB{planned:9.2f} GB planned", flush=True)


def report(name: str, device: str, styles: list[int], formats: list[str]) -> None:
    deltas: dict[str, np.ndarray] = {}
    for label in formats:
        dtype = getattr(torch, label)
        backbone = made(name, device, dtype)
        pixels = MODELS[name]["sample_size"] * 8 if name in MODELS else backbone.resolution
        print(f"{name}, {label}, {pixels} px", flush=True)
        direct(backbone, styles[0])()  # the first of a shape chooses its kernels
        rows = ElboConfig().batch_size
        planned = footprint.scoring(backbone, None, rows).total / GB
        for k in styles if label == formats[-1] else styles[:1]:
            _, seconds, peak = timed(device, direct(backbone, k))
            evaluations = DIRECT_EVALUATIONS * (k + 1)
            row(f"a direct answer, {k} styles, {evaluations} evaluations", seconds, peak, planned)
        changes, query = {"a": changed(backbone)}, picture(backbone)
        gaps, seconds, peak = timed(
            device,
            lambda b=backbone, c=changes, q=query: drain(
                score_queries(b, c, q, ElboConfig(evaluations=64))
            ),
        )
        planned = footprint.scoring(backbone, changes["a"], rows).total / GB
        row("with one LoRA, 128 evaluations", seconds, peak, planned)
        deltas[label] = gaps.contributions.sum(-1)
        unlearning(backbone, device)
        del backbone
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
    first = formats[0]
    exact = deltas.pop(first).item()
    away = ", ".join(f"{n} {abs(d.item() - exact):.3g}" for n, d in deltas.items())
    print(
        f"  delta in {first} {exact:.4g} nats{'; away from it: ' * bool(away)}{away}\n", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", action="append", choices=["builtin", *sorted(MODELS)])
    parser.add_argument("--styles", type=int, nargs="+", default=[5, 20, 60])
    parser.add_argument("--format", action="append", choices=FORMATS)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    on = torch.cuda.get_device_name() if args.device.startswith("cuda") else args.device
    print(f"{on}, torch {torch.__version__}\n")
    for name in args.model or ["sd15", "sdxl"]:
        report(name, args.device, args.styles, args.format or list(FORMATS))


if __name__ == "__main__":
    main()
