"""Checkpoints with random weights in the files' own layout, tiny to full size.

Written from the shapes of the original models, without a line of the pack's own code, so that they
can judge it. `TINY` are for quick tests without ComfyUI; `SMALL` are the least that ComfyUI itself
takes for these families (its detection wants 320 channels); `FULL` are the real sizes, which
`python checkpoints.py sdxl FILE` writes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

Shapes = dict[str, tuple[int, ...]]
UNET, VAE = "model.diffusion_model.", "first_stage_model."


@dataclass(frozen=True)
class Clip:
    prefix: str
    width: int
    layers: int
    open_clip: bool = False
    vocabulary: int = 49408


@dataclass(frozen=True)
class Spec:
    channels: tuple[int, ...]
    depths: tuple[int, ...]  # transformer blocks at each level
    middle: int
    context: int
    linear: bool
    text: tuple[Clip, ...]
    added: int = 0
    layers: int = 2
    in_channels: int = 4
    vae: tuple[int, ...] = (128, 256, 512, 512)
    vae_layers: int = 2


LETTERS = 2 * 256 + 2  # of `write_tokenizer`


def clip_l(prefix: str, width: int = 768, layers: int = 12, vocabulary: int = 49408) -> Clip:
    return Clip(prefix, width, layers, vocabulary=vocabulary)


def open_clip(prefix: str, width: int, layers: int, vocabulary: int = 49408) -> Clip:
    return Clip(prefix, width, layers, open_clip=True, vocabulary=vocabulary)


CLIP_1, CLIP_2 = "cond_stage_model.transformer.text_model.", "cond_stage_model.model."
CLIP_L, CLIP_G = "conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model."

FULL = {
    "sd1": Spec((320, 640, 1280, 1280), (1, 1, 1, 0), 1, 768, False, (clip_l(CLIP_1),)),
    "sd2": Spec(
        (320, 640, 1280, 1280), (1, 1, 1, 0), 1, 1024, True, (open_clip(CLIP_2, 1024, 24),)
    ),
    "sdxl": Spec(
        (320, 640, 1280),
        (0, 2, 10),
        10,
        2048,
        True,
        (clip_l(CLIP_L), open_clip(CLIP_G, 1280, 32)),
        added=2816,
    ),
}
SMALL = {
    "sd1": dataclasses.replace(FULL["sd1"], channels=(320, 320), depths=(1, 0), layers=1),
    "sd2": dataclasses.replace(FULL["sd2"], channels=(320, 320), depths=(1, 0), layers=1),
    # ComfyUI knows SDXL by its depths; these are of the smallest of its relatives.
    "sdxl": dataclasses.replace(FULL["sdxl"], channels=(320,) * 3, depths=(0, 1, 2), middle=2),
}
_SMALL_VAE = {"vae": (32, 64), "vae_layers": 1}
_SPELL = {"vocabulary": LETTERS}
TINY = {
    "sd1": Spec(
        (32, 64), (1, 0), 1, 64, False, (clip_l(CLIP_1, 64, 2, **_SPELL),), layers=1, **_SMALL_VAE
    ),
    "sd2": Spec(
        (64, 128),
        (1, 0),
        1,
        128,
        True,
        (open_clip(CLIP_2, 128, 3, **_SPELL),),
        layers=1,
        **_SMALL_VAE,
    ),
    "sdxl": Spec(
        (64, 64),
        (0, 2),
        2,
        192,
        True,
        (clip_l(CLIP_L, 64, 2, **_SPELL), open_clip(CLIP_G, 128, 3, **_SPELL)),
        added=128 + 6 * 256,
        layers=1,
        **_SMALL_VAE,
    ),
}


def linear(name: str, out: int, into: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (out, into)} | ({f"{name}.bias": (out,)} if bias else {})


def conv(name: str, out: int, into: int, size: int = 3) -> Shapes:
    return {f"{name}.weight": (out, into, size, size), f"{name}.bias": (out,)}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def resnet(name: str, into: int, out: int, time: int) -> Shapes:
    found = norm(f"{name}.in_layers.0", into) | conv(f"{name}.in_layers.2", out, into)
    found |= linear(f"{name}.emb_layers.1", out, time)
    found |= norm(f"{name}.out_layers.0", out) | conv(f"{name}.out_layers.3", out, out)
    return found | (conv(f"{name}.skip_connection", out, into, 1) if into != out else {})


def transformer(name: str, width: int, depth: int, spec: Spec) -> Shapes:
    found = norm(f"{name}.norm", width)
    for outer in ("proj_in", "proj_out"):
        at = f"{name}.{outer}"
        found |= linear(at, width, width) if spec.linear else conv(at, width, width, 1)
    for i in range(depth):
        block = f"{name}.transformer_blocks.{i}"
        for attention, source in (("attn1", width), ("attn2", spec.context)):
            found |= linear(f"{block}.{attention}.to_q", width, width, bias=False)
            found |= linear(f"{block}.{attention}.to_k", width, source, bias=False)
            found |= linear(f"{block}.{attention}.to_v", width, source, bias=False)
            found |= linear(f"{block}.{attention}.to_out.0", width, width)
        found |= linear(f"{block}.ff.net.0.proj", 8 * width, width)
        found |= linear(f"{block}.ff.net.2", width, 4 * width)
        for k in (1, 2, 3):
            found |= norm(f"{block}.norm{k}", width)
    return found


def unet(spec: Spec) -> Shapes:
    first, last = spec.channels[0], len(spec.channels) - 1
    time = 4 * first
    found = linear("time_embed.0", time, first) | linear("time_embed.2", time, time)
    if spec.added:
        found |= linear("label_emb.0.0", time, spec.added) | linear("label_emb.0.2", time, time)
    found |= conv("input_blocks.0.0", first, spec.in_channels)
    at, width, skips = 1, first, [first]
    for level, channels in enumerate(spec.channels):
        for _ in range(spec.layers):
            found |= resnet(f"input_blocks.{at}.0", width, channels, time)
            if spec.depths[level]:
                found |= transformer(f"input_blocks.{at}.1", channels, spec.depths[level], spec)
            width, at = channels, at + 1
            skips.append(width)
        if level < last:
            found |= conv(f"input_blocks.{at}.0.op", width, width)
            at += 1
            skips.append(width)
    found |= resnet("middle_block.0", width, width, time)
    found |= transformer("middle_block.1", width, spec.middle, spec)
    found |= resnet("middle_block.2", width, width, time)
    at = 0
    for level in range(last, -1, -1):
        channels, depth = spec.channels[level], spec.depths[level]
        for i in range(spec.layers + 1):
            found |= resnet(f"output_blocks.{at}.0", width + skips.pop(), channels, time)
            if depth:
                found |= transformer(f"output_blocks.{at}.1", channels, depth, spec)
            width = channels
            if level and i == spec.layers:
                found |= conv(f"output_blocks.{at}.{2 if depth else 1}.conv", width, width)
            at += 1
    return found | norm("out.0", first) | conv("out.2", 4, first)


def vae(spec: Spec) -> Shapes:
    channels, last = spec.vae, len(spec.vae) - 1
    found = conv("encoder.conv_in", channels[0], 3) | conv("decoder.conv_out", 3, channels[0])
    found |= conv("encoder.conv_out", 8, channels[-1]) | conv("decoder.conv_in", channels[-1], 4)
    found |= norm("encoder.norm_out", channels[-1]) | norm("decoder.norm_out", channels[0])
    found |= conv("quant_conv", 8, 8, 1) | conv("post_quant_conv", 4, 4, 1)
    for half in ("encoder", "decoder"):
        for k in (1, 2):
            found |= vae_resnet(f"{half}.mid.block_{k}", channels[-1], channels[-1])
        found |= norm(f"{half}.mid.attn_1.norm", channels[-1])
        for part in ("q", "k", "v", "proj_out"):
            found |= conv(f"{half}.mid.attn_1.{part}", channels[-1], channels[-1], 1)
    width = channels[0]
    for level, out in enumerate(channels):
        for i in range(spec.vae_layers):
            found |= vae_resnet(f"encoder.down.{level}.block.{i}", width, out)
            width = out
        if level < last:
            found |= conv(f"encoder.down.{level}.downsample.conv", out, out)
    width = channels[-1]
    for level in range(last, -1, -1):
        for i in range(spec.vae_layers + 1):
            found |= vae_resnet(f"decoder.up.{level}.block.{i}", width, channels[level])
            width = channels[level]
        if level:
            found |= conv(f"decoder.up.{level}.upsample.conv", width, width)
    return found


def vae_resnet(name: str, into: int, out: int) -> Shapes:
    found = norm(f"{name}.norm1", into) | conv(f"{name}.conv1", out, into)
    found |= norm(f"{name}.norm2", out) | conv(f"{name}.conv2", out, out)
    return found | (conv(f"{name}.nin_shortcut", out, into, 1) if into != out else {})


def text(clip: Clip) -> Shapes:
    width = clip.width
    if clip.open_clip:
        found: Shapes = {
            "token_embedding.weight": (clip.vocabulary, width),
            "positional_embedding": (77, width),
            "text_projection": (width, width),
            "logit_scale": (),
        } | norm("ln_final", width)
        for i in range(clip.layers):
            block = f"transformer.resblocks.{i}"
            found |= norm(f"{block}.ln_1", width) | norm(f"{block}.ln_2", width)
            found[f"{block}.attn.in_proj_weight"] = (3 * width, width)
            found[f"{block}.attn.in_proj_bias"] = (3 * width,)
            found |= linear(f"{block}.attn.out_proj", width, width)
            found |= linear(f"{block}.mlp.c_fc", 4 * width, width)
            found |= linear(f"{block}.mlp.c_proj", width, 4 * width)
        return found
    found = {
        "embeddings.token_embedding.weight": (clip.vocabulary, width),
        "embeddings.position_embedding.weight": (77, width),
        "embeddings.position_ids": (1, 77),
    } | norm("final_layer_norm", width)
    for i in range(clip.layers):
        block = f"encoder.layers.{i}"
        found |= norm(f"{block}.layer_norm1", width) | norm(f"{block}.layer_norm2", width)
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found |= linear(f"{block}.self_attn.{part}", width, width)
        found |= linear(f"{block}.mlp.fc1", 4 * width, width)
        found |= linear(f"{block}.mlp.fc2", width, 4 * width)
    return found


def shapes(spec: Spec, *, with_vae: bool = True, ema: bool = False) -> Shapes:
    """Every tensor of the checkpoint file, with the names that the file has."""
    parts = [(UNET, unet(spec)), *((c.prefix, text(c)) for c in spec.text)]
    parts += [(VAE, vae(spec))] if with_vae else []
    found = {prefix + name: shape for prefix, part in parts for name, shape in part.items()}
    if ema:
        found |= {
            "model_ema.diffusion_model" + n.replace(".", ""): s for n, s in unet(spec).items()
        }
    return found


def random_tensors(
    wanted: Mapping[str, tuple[int, ...]], dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Random weights that keep activations of order one; quick even for gigabytes."""
    pool = torch.randn(1 << 20, generator=torch.Generator().manual_seed(seed))
    return {name: _random(name, shape, pool).to(dtype) for name, shape in wanted.items()}


def _random(name: str, shape: tuple[int, ...], pool: torch.Tensor) -> torch.Tensor:
    if name.endswith("position_ids"):
        return torch.arange(shape[-1]).expand(shape).clone()
    count = 1
    for size in shape:
        count *= size
    start = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "little")
    values = torch.roll(pool, start % len(pool)).repeat(-(-count // len(pool)))[:count].view(shape)
    if "embedding" in name:
        return 0.05 * values
    if len(shape) > 1:
        return values * (count // shape[0]) ** -0.5
    is_norm = "norm" in name or ".ln_" in name or name.endswith((".0.weight", "out.0.bias"))
    return 1 + 0.1 * values if is_norm and name.endswith("weight") else 0.1 * values


def write_tokenizer(folder: Path) -> Path:
    """A CLIP tokenizer that spells: every byte a token, no merges. For the `TINY` checkpoints."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in kept] + [chr(256 + i) for i in range(256 - len(kept))]
    words = letters + [c + "</w>" for c in letters] + ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    special = {"unk_token": words[-1], "bos_token": words[-2], "eos_token": words[-1]}
    special |= {"pad_token": words[-1], "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(special), "utf-8")
    return folder


def write(
    path: Path,
    spec: Spec,
    *,
    dtype: torch.dtype = torch.float16,
    seed: int = 0,
    with_vae: bool = True,
    ema: bool = False,
    extra: Iterable[str] = (),
    metadata: dict[str, str] | None = None,
) -> Path:
    """A checkpoint file; `extra` are empty marks such as "v_pred"."""
    tensors = random_tensors(shapes(spec, with_vae=with_vae, ema=ema), dtype, seed)
    tensors |= {name: torch.zeros(0) for name in extra}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata)
    return path


if __name__ == "__main__":
    write(Path(sys.argv[2]), FULL[sys.argv[1]])
