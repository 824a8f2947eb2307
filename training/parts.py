"""What the demo model is made of: its pictures and captions, its tokenizer and its networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TOKENS = 24
WIDTH = 128
VOCABULARY = 2048
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
