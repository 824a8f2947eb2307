"""A tiny random Stable Diffusion of the real classes, and style groups to go with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from guda.backbone.load import DEMO_FOLDER, load
from guda.config import UnlearnConfig
from guda.groups import load_folder

STYLES = ("dots", "stripes", "waves")


def write_model(folder: Path, *, prediction: str = "epsilon", seed: int = 0) -> Path:
    """A diffusers folder: 32-pixel pictures, 16 x 16 latents, about 0.3 M parameters."""
    torch.manual_seed(seed)
    tokenizer = CLIPTokenizer.from_pretrained(DEMO_FOLDER / "tokenizer")
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=tokenizer.model_max_length,
        )
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
    )
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=32,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDPMScheduler(
            beta_schedule="scaled_linear", prediction_type=prediction, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def write_groups(root: Path, count: int = 8, styles: tuple[str, ...] = STYLES) -> Path:
    """One folder per style, `count` pictures each, the same contents in every style."""
    y, x = np.mgrid[0:32, 0:32] / 32
    for k, style in enumerate(styles):
        folder = root / style
        folder.mkdir(parents=True)
        lines = []
        for i in range(count):
            wave = np.sin(2 * np.pi * (1 + i % 4) * (x if k == 0 else y if k == 1 else x + y))
            tint = np.array([k == 0, k == 1, k == 2]) * 0.5 + 0.25
            picture = (127.5 + 127.5 * wave[..., None] * tint).astype(np.uint8)
            Image.fromarray(picture).save(folder / f"{i}.png")
            text = f"shape {i}, in {style} style"
            lines.append(json.dumps({"file_name": f"{i}.png", "text": text}))
        (folder / "metadata.jsonl").write_text("\n".join(lines), "utf-8")
    return root


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def backbone(model_folder):
    return load(model_folder)


@pytest.fixture(scope="session")
def groups_folder(tmp_path_factory):
    return write_groups(tmp_path_factory.mktemp("groups") / "styles")


@pytest.fixture(scope="session")
def groups(groups_folder):
    return load_folder(groups_folder)


@pytest.fixture
def quick():
    """A recipe that takes a second on the tiny model."""
    return UnlearnConfig(
        steps=6, lr=1e-2, rank=2, batch_size=3, retain_batch_size=3, warmup=1, checkpoint_every=2
    )
