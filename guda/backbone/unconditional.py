"""An unconditional pixel-space model, as in the paper's CIFAR-10 experiment (GUDA-U)."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import SampleConfig
from ..diffusion import lora_keys
from ..diffusion.conditioning import Conditioning
from ..diffusion.noise import generator
from ..diffusion.protocol import LoraWeights, TextEdit, TrainableLora
from ..diffusion.schedule import NoiseSchedule
from . import identity, lora
from .fingerprint import fingerprint


class Unconditional:
    """The `Backbone` of a diffusers UNet2DModel.

    Pictures become "latents" without loss: averaged over `shrink` x `shrink` pixels (undone by
    repeating them), grey if the UNet's channels say so, and `fold` x `fold` pixels moved into the
    channels (`pixel_unshuffle`), so that the UNet has fewer locations to go through.
    """

    conditional = False
    multiple = 0
    warnings: Sequence[str] = ()
    aliases: Sequence[str] = ()
    overrides: Mapping[str, Any] = MappingProxyType({})
    former: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        unet: Any,
        schedule: NoiseSchedule,
        name: str = "unconditional",
        *,
        fold: int = 1,
        shrink: int = 1,
        device: torch.device | str = "cpu",
    ):
        self.name, self.schedule, self.device = name, schedule, torch.device(device)
        self.fold, self.shrink = fold, shrink
        self.colours = unet.config.in_channels // fold**2
        if self.colours not in (1, 3) or self.colours * fold**2 != unet.config.in_channels:
            raise ValueError(
                f"in_channels is {unet.config.in_channels} with fold {fold}; give {fold**2} (grey) "
                f"or {3 * fold**2} (colour)."
            )
        self.resolution = int(unet.config.sample_size) * fold * shrink
        self.unet = unet.requires_grad_(False).eval().to(self.device)
        self.refresh()

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        unet = self.unet.config
        return unet.in_channels, unet.sample_size, unet.sample_size

    def refresh(self) -> None:
        self.fingerprint = fingerprint({"unet": self.unet})

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "weights": self.fingerprint,
            "noise schedule": identity.schedule(self.schedule),
            "resolution": self.resolution,
            "pixels that become one": self.shrink,
            "pixels in the channels": self.fold,
        }

    def ready(self) -> None:
        self.unet.to(self.device)

    @torch.no_grad()
    def encode_images(self, pictures: Tensor) -> Tensor:
        x = F.avg_pool2d(2 * pictures.float() - 1, self.shrink)
        x = x.mean(1, keepdim=True) if self.colours == 1 else x
        return F.pixel_unshuffle(x, self.fold).cpu()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (n, 3, H, W) in [0, 1], float32 on the CPU."""
        x = F.pixel_shuffle(latents.float().cpu(), self.fold)
        x = x.repeat_interleave(self.shrink, 2).repeat_interleave(self.shrink, 3)
        return (x / 2 + 0.5).clamp(0, 1).expand(-1, 3, -1, -1)

    def encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        """Ones: a prompt says nothing to this model."""
        return Conditioning(torch.ones(len(prompts), 1, 1))

    def chunks(self, prompts: Sequence[str]) -> list[int]:
        return [1] * len(prompts)

    def predict_eps(self, x_t: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        return self.unet(x_t.to(self.device), t.to(self.device)).sample.float()

    @torch.no_grad()
    def sample(
        self, prompts: Sequence[str], keys: Sequence[str], config: SampleConfig
    ) -> Generator[int, None, Tensor]:
        """DDIM (Song et al. 2021) with `config.steps` even steps; guidance does not apply."""
        shape = self.latent_shape
        times = torch.linspace(self.schedule.length - 1, 0, config.steps).long().unique().flip(0)
        a_bar = self.schedule.alpha_bar
        pictures, done = [], 0
        for start in range(0, len(keys), config.batch_size):
            part = keys[start : start + config.batch_size]
            x = torch.stack(
                [torch.randn(shape, generator=generator("picture", config.seed, k)) for k in part]
            )
            for i, t in enumerate(times):
                now = t.expand(len(x))
                eps = self.predict_eps(x, now, Conditioning(x.new_ones(len(x), 1, 1))).cpu()
                x0 = self.schedule.to_x0(eps, x, now).clamp(-1, 1)
                eps = (x - a_bar[t].sqrt().float() * x0) / (1 - a_bar[t]).sqrt().float()
                a = a_bar[times[i + 1]].float() if i + 1 < len(times) else torch.tensor(1.0)
                x = a.sqrt() * x0 + (1 - a).sqrt() * eps
                done += 1
                yield done
            pictures.append(self.decode(x))
        return torch.cat(pictures)

    @contextmanager
    def counterfactual(self, weights: LoraWeights) -> Iterator[None]:
        with lora.merged(self.unet, weights):
            yield

    def training_lora(
        self, *, modules: str, rank: int, alpha: float, seed: int, edit: TextEdit | None = None
    ) -> AbstractContextManager[TrainableLora]:
        return lora.trainable(
            self.unet, modules=modules, rank=rank, alpha=alpha, seed=seed, edit=edit
        )

    def lora_from_file(self, tensors: Mapping[str, Tensor]) -> LoraWeights:
        """See `lora_keys.from_file_keys`."""
        return lora_keys.from_file_keys(tensors, self.unet)
