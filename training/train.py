"""Train the demo model: first the VAE, then text encoder and UNet together.

    python training/emoji.py --out training/data
    python training/train.py --data training/data --out guda/demo/model --minutes 65

Needs torch, diffusers, transformers and Pillow. The learning rate follows the clock, so `--minutes`
decides the length; `--start` goes on from finished weights. One process per core is faster than
one process with threads:

    OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 training/train.py --data training/data ...

The text encoder is trained together with the UNet: a frozen one that never saw the style words
makes the UNet ignore style. A share of captions has no style (so that the `style_removed` anchor
stays in distribution) or is empty (for guidance and for attribution without a prompt). The shipped
weights are the moving average, in fp16.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file
from torch import distributed
from transformers import CLIPTextModel, CLIPTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.by_the_clock import RANK, WORLD, run, wait
from training.parts import (
    TOKENS,
    caption,
    jitter,
    make_text_encoder,
    make_tokenizer,
    make_unet,
    make_vae,
    pixels,
    read,
)

UNMOVED = 0.6  # share of training pictures taken as they are, without jitter
SNR_CAP = 5.0


def train_vae(x: torch.Tensor, minutes: float, work: Path, start: Path | None) -> AutoencoderKL:
    if start is not None:
        return AutoencoderKL.from_pretrained(start / "vae", torch_dtype=torch.float32)
    vae = make_vae().to(memory_format=torch.channels_last)

    def loss(step: int) -> torch.Tensor:
        g = torch.Generator().manual_seed(step)
        batch = x[torch.randint(len(x), (16,), generator=g)]
        batch = jitter(batch, g).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(batch).latent_dist
            out = vae.decode(
                posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=g)
            ).sample.float()
        kl = posterior.kl().mean() / batch[0].numel()
        error = out - batch
        edges = (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
        return error.abs().mean() + 2 * error.square().mean() + edges + 1e-4 * kl

    run("vae", [vae], loss, minutes, 2e-3, work, lambda: vae.save_pretrained(work / "vae"))
    return AutoencoderKL.from_pretrained(work / "vae")


@torch.no_grad()
def encode(vae: AutoencoderKL, x: torch.Tensor, variants: int) -> torch.Tensor:
    """(variants, n, 4, 16, 16) posterior means; the first variant is the picture itself."""
    g = torch.Generator().manual_seed(0)
    versions = [x] + [jitter(x, g) for _ in range(variants - 1)]
    return torch.stack(
        [torch.cat([vae.encode(b).latent_dist.mean for b in v.split(64)]) for v in versions]
    )


def train_unet(
    rows: list[dict],
    vae: AutoencoderKL,
    x: torch.Tensor,
    minutes: float,
    work: Path,
    out: Path,
    start: Path | None,
    lr: float,
) -> None:
    cache = work / "latents.safetensors"
    if RANK == 0 and not cache.exists():
        save_file({"latents": encode(vae, x, variants=6).contiguous()}, cache)
    wait()
    latents = load_file(cache)["latents"]
    if start is None:
        vae.register_to_config(scaling_factor=round(1 / latents[0].std().item(), 5))
    latents = latents * vae.config.scaling_factor
    if start is None:
        if RANK == 0:
            make_tokenizer(rows, work / "tokenizer")
        wait()
        tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
        text, unet = make_text_encoder(tokenizer), make_unet()
    else:
        tokenizer = CLIPTokenizer.from_pretrained(start / "tokenizer")
        text = CLIPTextModel.from_pretrained(start / "text_encoder", dtype=torch.float32)
        unet = UNet2DConditionModel.from_pretrained(start / "unet", torch_dtype=torch.float32)
        text.train()
        unet.train()
    unet = unet.to(memory_format=torch.channels_last)
    unet.set_attn_processor(AttnProcessor())  # a third faster to train here than fused attention
    schedule = DDPMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        steps_offset=1,
    )
    snr = schedule.alphas_cumprod / (1 - schedule.alphas_cumprod)
    weights = (SNR_CAP / snr).clamp(0.2, 1)  # min-SNR for eps (Hang et al. 2023), with a floor

    def loss(step: int) -> torch.Tensor:
        g, rng = torch.Generator().manual_seed(step), random.Random(step)
        pick = torch.randint(len(rows), (32,), generator=g)
        moved = torch.randint(1, len(latents), (32,), generator=g)
        moved[torch.rand(32, generator=g) < UNMOVED] = 0
        x0 = latents[moved, pick]
        captions = [caption(rows[i], rng.random()) for i in pick.tolist()]
        ids = tokenizer(
            captions, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt"
        ).input_ids
        t = ((torch.arange(32) + torch.rand(32, generator=g)) * (1000 / 32)).long()
        eps = torch.randn(x0.shape, generator=g)
        x_t = schedule.add_noise(x0, eps, t).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            eps_hat = unet(x_t, t, text(ids).last_hidden_state).sample
        return (weights[t] * (eps_hat.float() - eps).square().mean((1, 2, 3))).mean()

    def save() -> None:
        configs = [{k: v for k, v in m.config.items() if k != "_name_or_path"} for m in (vae, unet)]
        half = [AutoencoderKL.from_config(configs[0]), UNet2DConditionModel.from_config(configs[1])]
        for target, source in zip(half, (vae, unet), strict=True):
            target.load_state_dict(source.state_dict())
        text16 = CLIPTextModel(text.config)
        text16.load_state_dict(text.state_dict())
        pipeline = StableDiffusionPipeline(
            vae=half[0].half(),
            text_encoder=text16.half(),
            tokenizer=tokenizer,
            unet=half[1].half(),
            scheduler=schedule,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.save_pretrained(out, safe_serialization=True)

    run("unet", [text, unet], loss, minutes, lr, work, save)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parent
    parser.add_argument("--data", type=Path, default=here / "data")
    parser.add_argument("--work", type=Path, default=here / "work")
    parser.add_argument("--out", type=Path, default=here.parent / "guda/demo/model")
    parser.add_argument("--vae-minutes", type=float, default=10)
    parser.add_argument("--minutes", type=float, default=65)
    parser.add_argument("--lr", type=float, default=1e-3, help="of text encoder and UNet")
    parser.add_argument("--start", type=Path, help="a model folder to go on from")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if WORLD > 1:
        distributed.init_process_group("gloo")
    torch.manual_seed(0)
    rows = read(args.data, "train")
    x = pixels(rows)
    vae = train_vae(x, args.vae_minutes, args.work, args.start)
    train_unet(rows, vae, x, args.minutes, args.work, args.out, args.start, args.lr)


if __name__ == "__main__":
    main()
