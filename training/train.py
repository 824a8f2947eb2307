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
import json
import math
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import distributed, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

RANK, WORLD = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
TOKENS = 24
WIDTH = 128
VOCABULARY = 2048
UNMOVED = 0.6  # share of training pictures taken as they are, without jitter
SNR_CAP = 5.0
EMPTY, STYLELESS, CATEGORY = 0.08, 0.16, 0.45  # cumulative shares of the captions' shapes


def read(data: Path, split: str) -> list[dict]:
    """Rows {"path", "style", "content", "category", "text"} of one split."""
    groups = json.loads((data / split / "groups.json").read_text("utf-8"))["groups"]
    rows = []
    for group, about in groups.items():
        for line in (data / split / group / "metadata.jsonl").read_text("utf-8").splitlines():
            row = json.loads(line)
            rows.append(
                row | {"path": data / split / group / row["file_name"], "style": about["style"]}
            )
    return rows


def pixels(rows: list[dict]) -> torch.Tensor:
    """(n, 3, 64, 64) in [-1, 1]."""
    stack = np.stack([np.asarray(Image.open(r["path"]).convert("RGB")) for r in rows])
    return torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 127.5 - 1


def jitter(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shift by up to 3 pixels and scale by up to 6 %, on white; one draw per picture."""
    n = len(x)
    scale = 1 + 0.06 * (2 * torch.rand(n, generator=generator) - 1)
    shift = (2 * torch.rand(n, 2, generator=generator) - 1) * 6 / x.shape[-1]
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / scale
    theta[:, :, 2] = shift
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x - 1, grid, padding_mode="zeros", align_corners=False) + 1


def caption(row: dict, draw: float) -> str:
    if draw < EMPTY:
        return ""
    if draw < STYLELESS:
        return row["content"]
    if draw < CATEGORY:
        return f"{row['content']}, {row['category']}, in {row['style']} style"
    return f"{row['content']}, in {row['style']} style"


def make_tokenizer(rows: list[dict], folder: Path) -> CLIPTokenizer:
    """CLIP's byte-level BPE with a vocabulary of its own; every single byte stays encodable.

    The trainer breaks ties at random, so a tokenizer that is there already is kept.
    """
    if (folder / "vocab.json").exists():
        return CLIPTokenizer.from_pretrained(folder)
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(alphabet) - 2,
        min_frequency=1,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    bpe.train_from_iterator((caption(r, d) for r in rows for d in (0.3, 0.9)), trainer)
    trained = json.loads(bpe.to_str())["model"]
    tokens = dict.fromkeys([*alphabet, *(a + "</w>" for a in alphabet), *trained["vocab"]])
    tokens = [*tokens, "<|startoftext|>", "<|endoftext|>"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split()) for m in trained["merges"]]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}), "utf-8")
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "\n".join(" ".join(m) for m in merges) + "\n", "utf-8"
    )
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": TOKENS,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), "utf-8")
    special = {k: v for k, v in config.items() if k.endswith("_token")}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2), "utf-8")
    return CLIPTokenizer.from_pretrained(folder)


def make_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(32, 64, 96),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=4,
        sample_size=64,
    )


def make_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(64, 96, 144),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            projection_dim=WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


class Average:
    """Exponential moving average of the parameters, with a warm-up."""

    def __init__(self, modules: list[torch.nn.Module], decay: float):
        self.modules, self.decay, self.step = modules, decay, 0
        self.shadow = [p.detach().clone() for m in modules for p in m.parameters()]

    @torch.no_grad()
    def update(self) -> None:
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        live = [p for m in self.modules for p in m.parameters()]
        torch._foreach_lerp_(self.shadow, [p.detach() for p in live], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        live = [p for m in self.modules for p in m.parameters()]
        for p, s in zip(live, self.shadow, strict=True):
            kept = p.detach().clone()
            p.copy_(s)
            s.copy_(kept)


def agreed(value: float) -> float:
    """Rank 0's value, in every process."""
    if WORLD == 1:
        return value
    box = torch.tensor(value, dtype=torch.float64)
    distributed.broadcast(box, 0)
    return box.item()


def average_gradients(parameters: list[nn.Parameter]) -> None:
    if WORLD > 1:
        flat = torch.cat([p.grad.flatten() for p in parameters])
        distributed.all_reduce(flat)
        for p, g in zip(
            parameters, flat.div_(WORLD).split([p.numel() for p in parameters]), strict=True
        ):
            p.grad.copy_(g.view_as(p))


def wait() -> None:
    """Until every process is here: what the first one writes, the others read."""
    if WORLD > 1:
        distributed.barrier()


def run(
    name: str,
    modules: list[torch.nn.Module],
    loss: Callable[[int], torch.Tensor],
    minutes: float,
    lr: float,
    work: Path,
    save: Callable[[], None],
) -> None:
    """Train until the clock says `minutes`; cosine learning rate; checkpoints every two minutes."""
    parameters = [p for m in modules for p in m.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=lr, weight_decay=0.01, betas=(0.9, 0.98), fused=True
    )
    average = Average(modules, 0.999)
    state_file = work / f"{name}.pt"
    step, spent = 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        for module, weights in zip(modules, state["modules"], strict=True):
            module.load_state_dict(weights)
        optimizer.load_state_dict(state["optimizer"])
        average.shadow, average.step = state["shadow"], state["step"]
        step, spent = state["step"], state["spent"]
    lr *= WORLD**0.5
    start, saved, shown = time.monotonic() - spent, time.monotonic(), []

    def checkpoint() -> None:
        torch.save(
            {
                "modules": [m.state_dict() for m in modules],
                "optimizer": optimizer.state_dict(),
                "shadow": average.shadow,
                "step": step,
                "spent": time.monotonic() - start,
            },
            state_file,
        )
        average.swap()
        save()
        average.swap()

    while (done := agreed((time.monotonic() - start) / (60 * minutes))) < 1:
        rate = lr * min(1, (step + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        value = loss(WORLD * step + RANK)
        value.backward()
        average_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update()
        step += 1
        shown.append(value.item())
        if step % 100 == 0 and RANK == 0:
            mean = sum(shown[-100:]) / len(shown[-100:])
            print(f"{name} step {step} loss {mean:.4f} lr {rate:.1e} {done:.1%}", flush=True)
        if time.monotonic() - saved > 120 and RANK == 0:
            checkpoint()
            saved = time.monotonic()
    if RANK == 0:
        checkpoint()
    wait()


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
