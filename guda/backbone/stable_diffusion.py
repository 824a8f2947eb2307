"""Stable Diffusion through diffusers: text encoders, VAE, UNet and noise schedule."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..config import SampleConfig
from ..diffusion import lora_keys
from ..diffusion.conditioning import Conditioning
from ..diffusion.identity import Identity
from ..diffusion.protocol import LoraWeights, TextEdit, TrainableLora
from ..diffusion.room import Room
from ..diffusion.schedule import PREDICTIONS, NoiseSchedule
from ..errors import ImageError, ModelError
from . import identity, lora, placement, precision, sampling
from .fingerprint import fingerprints
from .text import Text

VAE_PIXELS = 16 * 128**2  # that go through the VAE at once


class StableDiffusion:
    """The `Backbone` of Stable Diffusion 1.x, 2.x and XL.

    pipeline: `unet`, `vae`, `scheduler`, and either `text` or what a diffusers pipeline has.
    resolution: pixels, where the model is to be used at another size than its own; 0: its own.
    """

    conditional = True
    warnings: Sequence[str] = ()
    files: Sequence[Path] = ()
    """What it was read from; none where another program loaded it."""
    source: Mapping[str, Any] | None = None
    """What `load` is given to load it again; None where a part of it was given as tensors."""

    def __init__(
        self,
        pipeline: Any,
        name: str,
        device: torch.device | str = "cpu",
        *,
        resolution: int = 0,
    ):
        self.name = name
        self.device = torch.device(device)
        self.vae, self.unet = pipeline.vae, pipeline.unet
        self.text: Text = getattr(pipeline, "text", None) or Text.of_pipeline(pipeline)
        self.text_encoder, self.tokenizer = self.text.module, self.text.parts[0].tokenizer
        self.scheduler_config = pipeline.scheduler.config
        self.prediction = self.scheduler_config.get("prediction_type", "epsilon")
        if self.prediction not in PREDICTIONS:
            raise ModelError(
                f"The model {name} predicts {self.prediction!r}, which is not supported; use a "
                f"model that predicts one of: {', '.join(PREDICTIONS)}."
            )
        self.schedule = NoiseSchedule(pipeline.scheduler.alphas_cumprod.double().cpu())
        self._factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        own = int(self.unet.config.sample_size) * self._factor
        self.resolution = resolution or own
        self.overrides: dict[str, Any] = {}
        if self.resolution != own:
            self.overrides["resolution"] = self.resolution
        self._check_size(self.resolution // self._factor, self.resolution % self._factor)
        for module in self.modules():
            module.requires_grad_(False).eval()
        self.move(self.device)
        self.refresh()

    def cast(self, name: str, device: torch.device | str) -> None:
        """Keep the weights in the format that the precision `name` means on `device`.

        Not the VAE's: it runs once per picture, and SDXL's overflows in float16.
        """
        dtype = precision.choose(name, device)
        for module in (self.text_encoder, self.unet):
            precision.cast(module, dtype)

    @property
    def precision(self) -> str:
        """The number format of the UNet's weights, such as "float32"."""
        return str(self.unet.dtype).removeprefix("torch.")

    def refresh(self) -> None:
        parts = {"unet": self.unet, "text_encoder": self.text_encoder}
        self.fingerprint, *others = fingerprints(parts)
        self.aliases: Sequence[str] = others
        self._identity: dict[str, Any] = {}

    @property
    def identity(self) -> dict[str, Any]:
        if not self._identity:
            self._identity = identity.describe(self)
        return self._identity

    @property
    def former(self) -> Identity:
        return identity.known().get(self.fingerprint, {})

    def modules(self) -> tuple[nn.Module, ...]:
        return (self.vae, self.text_encoder, self.unet)

    def move(self, device: torch.device | str, rest: torch.device | str | None = None) -> None:
        """Work on `device` from now on; parts that are not at work wait on `rest`.

        Without `rest` every part goes to `device`. With it each part goes there when it is needed.
        """
        self.device = placement.exact(device)
        self.rest = self.device if rest is None else placement.exact(rest)
        for module in self.modules():
            module.to(self.rest)

    def ready(self) -> None:
        self._use(self.unet)

    def _use(self, part: nn.Module) -> None:
        placement.bring(part, self.modules(), self.device, self.rest)

    @property
    def multiple(self) -> int:
        return self._factor * 2 ** (len(self.unet.config.block_out_channels) - 1)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        side = self.resolution // self._factor
        return self.unet.config.in_channels, side, side

    @property
    def nbytes(self) -> int:
        """Bytes of all weights."""
        parameters = (p for m in self.modules() for p in m.parameters())
        return sum(p.numel() * p.element_size() for p in parameters)

    @torch.no_grad()
    def encode_images(self, pictures: Tensor) -> Tensor:
        self._use(self.vae)

        def mean(part: slice) -> Tensor:
            x = (2 * pictures[part] - 1).to(self.device, self.vae.dtype)
            return self.vae.encode(x).latent_dist.mean.float().cpu()

        means = self._vae_room().over(len(pictures), mean)
        shift = self.vae.config.get("shift_factor") or 0.0
        return (torch.cat(list(means)) - shift) * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (n, 3, H, W) in [0, 1], float32 on the CPU."""
        self._use(self.vae)

        shift = self.vae.config.get("shift_factor") or 0.0

        def picture(part: slice) -> Tensor:
            z = latents[part].to(self.device, self.vae.dtype) / self.vae.config.scaling_factor
            return self.vae.decode(z + shift).sample.float().cpu()

        drawn = self._vae_room().over(len(latents), picture)
        return (torch.cat(list(drawn)) / 2 + 0.5).clamp(0, 1)

    def _vae_room(self) -> Room:
        return Room(min(16, VAE_PIXELS // self.resolution**2), self.device)

    def scale_latents(self, raw: Tensor) -> Tensor:
        """The VAE's own latents (n, c, h, w), as ComfyUI passes them on, as the UNet expects them.

        Raises ImageError when this model cannot take them.
        """
        channels = self.unet.config.in_channels
        if raw.dim() != 4 or raw.shape[1] != channels:
            raise ImageError(
                f"the latents have shape {tuple(raw.shape)}; the model {self.name} takes "
                f"(n, {channels}, height, width). Encode the picture with this model's VAE."
            )
        height, width = raw.shape[-2:]
        self._check_size(height)
        self._check_size(width)
        shift = self.vae.config.get("shift_factor") or 0.0
        return (raw.detach().float().cpu() - shift) * self.vae.config.scaling_factor

    def _check_size(self, cells: int, rest: int = 0) -> None:
        """A side of the latents has to survive every halving in the UNet."""
        if cells < 1 or rest or cells * self._factor % self.multiple:
            pixels = cells * self._factor + rest
            raise ImageError(
                f"a side of {pixels} pixels does not fit the model {self.name}; give a multiple of "
                f"{self.multiple}."
            )

    def encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        self._use(self.text.module)
        return self.text.encode(prompts, self.device)

    weighs_prompts: Callable[[str], bool] | None = None
    """Which prompts `text` reads with weights and embeddings, where it does."""

    def chunks(self, prompts: Sequence[str]) -> list[int]:
        return self.text.chunks(prompts)

    def predict_eps(self, x_t: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        self.ready()
        dtype = self.unet.dtype
        x_t, t = x_t.to(self.device), t.to(self.device)
        condition = condition.to(self.device, dtype)
        with precision.autocast(self.device, dtype):
            out = self._output(x_t.to(dtype), t, condition)
        return self.schedule.to_eps(out.float(), x_t.float(), t, self.prediction)

    def _output(self, x_t: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        """The UNet's own; prompts of several lengths go through it one length after the other."""
        if condition.tokens is None:
            more = self._added(condition, x_t)
            return self.unet(x_t, t, encoder_hidden_states=condition.embeds, **more).sample
        order, parts = [], []
        for rows, part in condition.even():
            order.append(rows)
            parts.append(self._output(x_t[rows], t[rows], part))
        return torch.cat(parts)[torch.cat(order).argsort()]

    def _added(self, condition: Conditioning, x_t: Tensor) -> dict[str, dict[str, Tensor]]:
        """SDXL's size numbers: original height and width, crop at (0, 0), target size; all as is.

        They are those of the picture at hand, as in ComfyUI, so that latents of any size are right.
        """
        if "text_embeds" not in condition.added:
            return {}
        height, width = (side * self._factor for side in x_t.shape[-2:])
        sizes = torch.tensor([height, width, 0, 0, height, width], device=x_t.device)
        added = {**condition.added, "time_ids": sizes.float().expand(len(x_t), 6)}
        return {"added_cond_kwargs": added}

    def sample(
        self, prompts: Sequence[str], keys: Sequence[str], config: SampleConfig
    ) -> Generator[int, None, Tensor]:
        """DPM-Solver++ (2M) with classifier-free guidance; see the protocol."""
        return (yield from sampling.sample(self, prompts, keys, config))

    @contextmanager
    def counterfactual(self, weights: LoraWeights) -> Iterator[None]:
        self.ready()
        attach = lora.merged if self.unet.dtype == torch.float32 else lora.beside
        with attach(self.unet, weights):
            yield

    def training_lora(
        self, *, modules: str, rank: int, alpha: float, seed: int, edit: TextEdit | None = None
    ) -> AbstractContextManager[TrainableLora]:
        self.ready()
        return lora.trainable(
            self.unet, modules=modules, rank=rank, alpha=alpha, seed=seed, edit=edit
        )

    def lora_from_file(self, tensors: Mapping[str, Tensor]) -> LoraWeights:
        """See `lora_keys.from_file_keys`."""
        return lora_keys.from_file_keys(tensors, self.unet)
