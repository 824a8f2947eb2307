"""Small untrained models of the real classes, for the benchmarks: weights from a seed alone."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from ..diffusion.noise import seed_of
from ..diffusion.schedule import NoiseSchedule
from .files.load import DEMO, load
from .stable_diffusion import StableDiffusion
from .unconditional import Unconditional


def digits(seed: int) -> Unconditional:
    """A UNet2DModel with 0.4 M parameters on 4 x 4 locations of 4 pixels each."""
    from diffusers import UNet2DModel  # type: ignore[attr-defined]

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_of("digits model", seed))
        unet = UNet2DModel(
            sample_size=4,
            in_channels=4,
            out_channels=4,
            layers_per_block=1,
            block_out_channels=(32, 48),
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            norm_num_groups=8,
            attention_head_dim=16,  # of the middle block
        )
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    return Unconditional(unet, NoiseSchedule((1 - beta).cumprod(0)), "digits", fold=2, shrink=2)


def styles(seed: int) -> StableDiffusion:
    """A Stable Diffusion for 32-pixel pictures (8 x 8 latents) with a UNet of 2.5 M parameters.

    VAE, tokenizer and noise schedule are the built-in model's; text encoder and UNet are untrained.
    """
    from diffusers import UNet2DConditionModel  # type: ignore[attr-defined]
    from transformers import CLIPTextConfig, CLIPTextModel

    demo = load(DEMO)
    tokenizer = demo.tokenizer
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_of("styles model", seed))
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(64, 96),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=96,
            attention_head_dim=4,
            norm_num_groups=16,
        )
        text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=96,
                intermediate_size=384,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=tokenizer.model_max_length,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    scheduler = SimpleNamespace(
        config=demo.scheduler_config, alphas_cumprod=demo.schedule.alpha_bar
    )
    pipeline = SimpleNamespace(
        vae=demo.vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=scheduler
    )
    return StableDiffusion(pipeline, "styles")
