"""What the method asks of a base model.

Shapes: pictures (n, 3, H, W) in [0, 1]; latents (n, c, h, w), scaled as the UNet expects them;
text embeddings (n, tokens, width).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..config import SampleConfig
from .conditioning import Conditioning
from .schedule import NoiseSchedule


@dataclass(frozen=True)
class LoraWeights:
    """One LoRA: per UNet module path (up, down), and alpha; W + alpha / rank * up @ down.

    diffs: per UNet parameter name, a whole difference; what full fine-tuning gives.
    """

    layers: Mapping[str, tuple[Tensor, Tensor]]
    alpha: float
    diffs: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        _, down = next(iter(self.layers.values()))
        return len(down)

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    @classmethod
    def mean(cls, parts: Sequence[LoraWeights]) -> LoraWeights:
        """The mean of the changes of W by LoRAs of the same layers, rank and alpha.

        Side by side they are one LoRA of their ranks' sum, which alpha / rank divides.
        """
        first = parts[0]
        if len(parts) == 1:
            return first
        layers = {
            name: (
                torch.cat([p.layers[name][0] for p in parts], 1),
                torch.cat([p.layers[name][1] for p in parts], 0),
            )
            for name in first.layers
        }
        diffs = {n: torch.stack([p.diffs[n] for p in parts]).mean(0) for n in first.diffs}
        return cls(layers, first.alpha, diffs)


class TextEdit(NamedTuple):
    """A change of what a UNet reads of a prompt: every token c becomes c + up @ down @ c."""

    up: Tensor  # (width, k)
    down: Tensor  # (k, width)


Shape = tuple[int, int, int]


class Backbone(Protocol):
    """A diffusion model, with one optional LoRA on its UNet.

    conditional: whether prompts matter; an unconditional model gives them rows without content.
    fingerprint: names the weights; aliases: other names, under which sets may note the same ones.
    overrides: settings, other than the model's own, that change what is computed with it.
    warnings: whole sentences on what is doubtful about the model, said with every job that it does.
    """

    name: str
    warnings: Sequence[str]
    conditional: bool
    fingerprint: str
    aliases: Sequence[str]

    @property
    def overrides(self) -> Mapping[str, Any]: ...

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything that changes what is computed, by name; see `identity`."""
        ...

    @property
    def former(self) -> Mapping[str, Any]:
        """The same of a set that notes the weights alone, as earlier versions made them.

        Empty where it is not known.
        """
        ...

    @property
    def multiple(self) -> int:
        """Of which a picture's sides have to be multiples; 0 where only the model's square fits."""
        ...

    @property
    def latent_shape(self) -> Shape:
        """(c, h, w) of the latents of a picture of `resolution` pixels."""
        ...

    schedule: NoiseSchedule
    resolution: int
    device: torch.device
    unet: Any  # the network itself, which the baselines differentiate

    def refresh(self) -> None:
        """Name the weights anew (`fingerprint`) after they were trained."""
        ...

    def ready(self) -> None:
        """Bring the UNet to the device; whatever else is there makes way for it."""
        ...

    def encode_images(self, pictures: Tensor) -> Tensor:
        """Latents: the VAE's posterior mean, scaled. Float32 on the CPU."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (n, 3, H, W) in [0, 1], float32 on the CPU, from scaled latents."""
        ...

    def encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        """One row per prompt; the empty prompt is allowed."""
        ...

    def chunks(self, prompts: Sequence[str]) -> list[int]:
        """How many times the text encoder reads for every prompt: 1 for what it takes at once."""
        ...

    def predict_eps(self, x_t: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        """The predicted noise, float32, whatever the model was trained to predict."""
        ...

    def sample(
        self, prompts: Sequence[str], keys: Sequence[str], config: SampleConfig
    ) -> Generator[int, None, Tensor]:
        """Generate one picture per prompt; yields once per sampling step, returns the pictures.

        A picture depends on (config.seed, its key, its prompt) alone.
        """
        ...

    def lora_from_file(self, tensors: Mapping[str, Tensor]) -> LoraWeights:
        """Raises CounterfactualError when the tensors of a LoRA file do not fit this model."""
        ...

    def counterfactual(self, weights: LoraWeights) -> AbstractContextManager[None]:
        """Inside, the UNet is the one without the group; outside, the full model, bit for bit."""
        ...

    def training_lora(
        self, *, modules: str, rank: int, alpha: float, seed: int, edit: TextEdit | None = None
    ) -> AbstractContextManager[TrainableLora]:
        """Inside, a fresh LoRA (up = 0) is on the UNet and alone requires gradients.

        edit: of less than the rank, for a LoRA alone; it is a part of the LoRA from the beginning
        and stays as it is.
        """
        ...


class TrainableLora(Protocol):
    """A LoRA, or with modules="full" every weight of the UNet, being trained."""

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """By a stable name, `<module path>.up` and `<module path>.down`, or the UNet's own."""
        ...

    def weights(self) -> LoraWeights:
        """A detached float32 copy on the CPU."""
        ...

    def off(self) -> AbstractContextManager[None]:
        """Inside, the same UNet is the frozen teacher: the LoRA is switched off."""
        ...
