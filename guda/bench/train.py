"""Training a full model, or one without a group, from nothing: what LOGO repeats.

A model's weights depend on (data, recipe, seed, group left out) alone; a finished one is read from
its file, an interrupted one goes on from its resume file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..diffusion import Backbone, Conditioning, training_attention
from ..diffusion.noise import generator
from ..errors import DivergedError
from ..files import write_bytes
from ..groups.encode import EncodedGroup
from ..settings import Settings, digest, setting
from ..steps import Step, Steps
from ..unlearning import resume


@dataclass(frozen=True)
class Model:
    """A backbone, and what of it is trained."""

    backbone: Backbone
    modules: Mapping[str, nn.Module]

    def condition(self, prompts: Sequence[str]) -> Conditioning:
        """With gradients where the text encoder is among the trained modules."""
        backbone: Any = self.backbone
        if "text_encoder" in self.modules:
            text = backbone.text
            return text.encode.__wrapped__(text, prompts, backbone.device)
        return backbone.encode_prompts(prompts)

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """Those that are trained, as "<module>.<name>"."""
        return {f"{m}.{n}": p for m, x in self.modules.items() for n, p in x.named_parameters()}


@dataclass(frozen=True)
class TrainConfig(Settings):
    """How the models of a benchmark are trained."""

    steps: int = setting(1500, "Optimizer steps.", low=1)
    lr: float = setting(2e-3, "Peak learning rate of AdamW.", low=1e-8, high=1.0)
    batch_size: int = setting(128, "Pictures per step.", low=1)
    warmup: int = setting(100, "Steps over which the learning rate rises.", low=0)
    weight_decay: float = setting(0.01, "Weight decay of AdamW.", low=0.0)
    empty_prompts: float = setting(0.08, "Share of prompts left empty.", low=0.0, high=1.0)
    styleless_prompts: float = setting(0.08, "Share of prompts without style.", low=0.0, high=1.0)
    bfloat16: bool = setting(False, "Whether the UNet computes in bfloat16 (autocast).")
    checkpoint_every: int = setting(500, "Steps between checkpoints.", low=1)


@dataclass(frozen=True)
class Pictures:
    """Training pictures of several groups in one row: latents (n, c, h, w) and their captions."""

    latents: Tensor
    prompts: tuple[str, ...]
    styleless: tuple[str, ...]

    @staticmethod
    def of(encoded: Mapping[str, EncodedGroup], without: str | None) -> Pictures:
        kept = [encoded[name] for name in sorted(encoded) if name != without]
        return Pictures(
            torch.cat([g.latents for g in kept]),
            tuple(e.prompt(g.group.style) for g in kept for e in g.train),
            tuple(e.styleless() for g in kept for e in g.train),
        )


def train(
    model: Model,
    encoded: Mapping[str, EncodedGroup],
    without: str | None,
    config: TrainConfig,
    seed: int,
    path: Path,
) -> Steps[None]:
    """Train the model in place on every group but `without`; yields once per step.

    Writes `path` when done; raises DivergedError when a loss is not finite.
    """
    key = digest(
        model.backbone.fingerprint,
        config.as_dict(),
        seed,
        without,
        sorted((n, [e.id for e in g.train]) for n, g in encoded.items()),
    )
    label = f"without {without}" if without else "full model"
    if _read(path, key, model.parameters):
        model.backbone.refresh()
        yield Step("train", config.steps, config.steps, label)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    place = resume.Place(path.with_suffix(".resume.safetensors"), key)
    for module in model.modules.values():
        module.requires_grad_(True).train()
    try:
        yield from _learn(model, Lesson(Pictures.of(encoded, without), config, seed), place, label)
    finally:
        for module in model.modules.values():
            module.requires_grad_(False).eval()
    model.backbone.refresh()
    tensors = {n: p.detach().contiguous() for n, p in model.parameters.items()}
    write_bytes(path, save(tensors, {"key": key}))
    resume.remove(place.path)


@dataclass(frozen=True)
class Lesson:
    """What a step trains on, as a function of (pictures, recipe, seed, step)."""

    data: Pictures
    config: TrainConfig
    seed: int

    def loss(self, model: Model, step: int) -> Tensor:
        """||eps - eps_theta(x_t, c)||^2 on a batch whose timesteps cover the schedule evenly."""
        config, data, backbone = self.config, self.data, model.backbone
        rng = generator("train", self.seed, step)
        n = config.batch_size
        rows = torch.randint(len(data.latents), (n,), generator=rng)
        chances = torch.rand(n, generator=rng).tolist()
        prompts = [
            ""
            if u < config.empty_prompts
            else data.styleless[i]
            if u < config.empty_prompts + config.styleless_prompts
            else data.prompts[i]
            for i, u in zip(rows.tolist(), chances, strict=True)
        ]
        length = backbone.schedule.length
        t = (torch.arange(n) + torch.rand(n, generator=rng)) * length / n
        t = t.long().clamp(max=length - 1)
        eps = torch.randn((n, *data.latents.shape[1:]), generator=rng)
        x_t = backbone.schedule.add_noise(data.latents[rows], eps, t)
        with torch.autocast(backbone.device.type, torch.bfloat16, enabled=config.bfloat16):
            eps_hat = backbone.predict_eps(x_t, t, model.condition(prompts))
        return (eps_hat - eps.to(eps_hat.device)).square().mean()


def _learn(model: Model, lesson: Lesson, place: resume.Place, label: str) -> Steps[None]:
    """The steps that are left, continued from the state at `place` if there is one."""
    config, parameters = lesson.config, model.parameters
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=config.lr, weight_decay=config.weight_decay, betas=(0.9, 0.98)
    )
    losses = resume.restore(place.path, place.key, parameters, optimizer).losses
    for step in range(len(losses), config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.lr * _rate(step, config)
        with training_attention(model.backbone.device):
            loss = lesson.loss(model, step)
            loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        if not math.isfinite(loss.item() + norm.item()):
            raise DivergedError(
                f"Training the {label} stopped at step {step + 1}: the loss is {loss.item()}. "
                f"Lower the training's lr (it is {config.lr:g})."
            )
        optimizer.step()
        optimizer.zero_grad()
        losses.append((step, loss.item(), 0.0))
        if (step + 1) % config.checkpoint_every == 0 and step + 1 < config.steps:
            resume.save(place.path, place.key, parameters, optimizer, losses)
        yield Step("train", step + 1, config.steps, label, loss.item())


def _rate(step: int, config: TrainConfig) -> float:
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    return rise * (0.01 + 0.99 * (1 + math.cos(math.pi * step / config.steps)) / 2)


@torch.no_grad()
def _read(path: Path, key: str, parameters: Mapping[str, nn.Parameter]) -> bool:
    """Load a finished model; False when there is none made from the same things."""
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("key") != key:
                return False
            tensors = {n: file.get_tensor(n) for n in parameters}
    except (OSError, SafetensorError, KeyError):
        return False
    for name, p in parameters.items():
        p.copy_(tensors[name])
    return True
