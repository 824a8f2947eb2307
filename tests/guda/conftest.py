"""A tiny random Stable Diffusion of the real classes, and style groups to go with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from guda.backbone.files.load import DEMO_FOLDER, load
from guda.config import UnlearnConfig
from guda.counterfactuals import load_set, sampled
from guda.diffusion import LoraWeights
from guda.diffusion.lora_keys import to_file_keys
from guda.diffusion.noise import generator
from guda.files import slugify
from guda.groups import load_folder
from guda.unlearning.gate import Gate

# Two OpenMP threads that wait for each other on a busy machine make a tiny UNet 100 times slower.
torch.set_num_threads(1)

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


@pytest.fixture(autouse=True)
def the_same_random_numbers():
    """In every test, whatever ran before it."""
    torch.manual_seed(0)


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


@pytest.fixture(scope="session")
def recipe():
    """A recipe that takes a second on the tiny model."""
    return UnlearnConfig(
        steps=6, lr=1e-2, rank=2, batch_size=3, retain_batch_size=3, warmup=1, checkpoint_every=2
    )


@pytest.fixture(autouse=True, scope="module")
def drawn_in_few_steps():
    """What is drawn for a certificate, by a module's fixtures too; a random model draws nothing
    more in ten.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampled, "DRAWING", sampled.DRAWING.replace(steps=2))
        yield


@pytest.fixture
def quick(recipe):
    return recipe


@pytest.fixture(scope="session")
def save_model():
    return write_model


@pytest.fixture(scope="session")
def save_groups():
    return write_groups


@pytest.fixture(scope="session")
def make_lora():
    """A LoRA with random ups of the given size: 0 is untouched, 0.5 damages the model badly."""

    def make(backbone, size, *, seed=0, rank=2, alpha=None, modules="attention") -> LoraWeights:
        with backbone.training_lora(
            modules=modules, rank=rank, alpha=alpha or float(rank), seed=seed
        ) as lora:
            fresh = lora.weights()
        rng = generator("test lora", seed)
        layers = {
            name: (size * torch.randn(up.shape, generator=rng), down)
            for name, (up, down) in fresh.layers.items()
        }
        return LoraWeights(layers, fresh.alpha)

    return make


@pytest.fixture(scope="session")
def make_damage():
    """A LoRA that adds something random to the predicted noise, so that every term rises."""

    def make(backbone, size) -> LoraWeights:
        rng = generator("damage")
        width = backbone.unet.conv_out.in_channels
        up = size * torch.randn(4, 2, 1, 1, generator=rng)
        return LoraWeights({"conv_out": (up, torch.randn(2, width, 3, 3, generator=rng))}, 2.0)

    return make


@pytest.fixture(scope="session")
def make_set():
    """A counterfactual set written by hand, in the documented format."""

    def make(folder, backbone, loras, gate=None):
        folder.mkdir(parents=True, exist_ok=True)
        gate = gate or Gate(1.0, 1.1, 1.0, 1.0, 0.0)
        groups = []
        for name, lora in loras.items():
            slug = slugify(name)
            metadata = {"guda.base_fingerprint": backbone.fingerprint, "guda.key": f"key {name}"}
            save_file(to_file_keys(lora), folder / f"{slug}.safetensors", metadata)
            groups.append(
                {
                    "name": name,
                    "slug": slug,
                    "style": name,
                    "key": f"key {name}",
                    "gate": gate.as_dict(),
                    "losses": [[0, 0.5, 0.0]],
                }
            )
        data = {
            "base_model": backbone.name,
            "fingerprint": backbone.fingerprint,
            "groups_hash": "none",
            "recipe": {},
            "groups": groups,
        }
        (folder / "counterfactuals.json").write_text(json.dumps(data), "utf-8")
        return load_set(folder)

    return make


@pytest.fixture(scope="session")
def side_by_side(tmp_path_factory) -> Callable[[list[list[str]]], list[str]]:
    """Runs commands of `python -m guda` at the same time, on one core each: what they print."""
    root, env = Path(__file__).parents[2], os.environ | {"OMP_NUM_THREADS": "1"}

    def run(commands: list[list[str]]) -> list[str]:
        folder = tmp_path_factory.mktemp("logs")
        logs = [folder / str(i) for i in range(len(commands))]
        runs = []
        for command, log in zip(commands, logs, strict=True):
            with open(log, "w", encoding="utf-8") as errors:
                runs.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "guda", *command],
                        cwd=root,
                        env=env,
                        stdout=subprocess.PIPE,
                        stderr=errors,
                        text=True,
                    )
                )
        printed = [process.communicate(timeout=1800)[0] for process in runs]
        for process, log in zip(runs, logs, strict=True):
            assert process.returncode == 0, log.read_text("utf-8")
        return printed

    return run
