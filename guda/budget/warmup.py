"""A warm-up: the real UNet works a few times, timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext

import torch

from ..config import UnlearnConfig
from ..diffusion import Backbone, LoraWeights, recomputing, training_attention
from ..diffusion.room import Room
from . import footprint

PATIENCE = 1.0  # seconds; a CPU that takes longer for one picture is not asked for more


def picture(backbone: Backbone) -> float:
    """Seconds to encode a picture."""
    blank = torch.zeros(1, 3, backbone.resolution, backbone.resolution)
    return _pace(lambda rows: backbone.encode_images(blank), 1, backbone)


def training(backbone: Backbone, config: UnlearnConfig, room: Room) -> tuple[float, float]:
    """Seconds per trained picture of a forward pass, and of one with its backward pass."""
    shape = footprint.trained_shape(backbone, config)
    call = _inputs(backbone, room.rows, shape)
    with ExitStack() as stack:
        lora = stack.enter_context(
            backbone.training_lora(
                modules=config.modules, rank=config.rank, alpha=config.lora_alpha, seed=0
            )
        )
        if room.recompute:
            stack.enter_context(recomputing(backbone.unet))
        locations = footprint.locations(backbone, shape)
        stack.enter_context(training_attention(backbone.device, locations))
        parameters = list(lora.parameters().values())

        def forward(rows: int) -> None:
            with torch.no_grad(), lora.off():
                call(rows).sum().item()

        def both(rows: int) -> None:
            loss = call(rows).square().mean()
            loss.backward()
            loss.item()  # waits for the device
            for p in parameters:
                p.grad = None

        def paces(rows: int) -> tuple[float, float]:
            return _pace(forward, rows, backbone), _pace(both, rows, backbone)

        return room.attempt(paces)


@torch.no_grad()
def scoring(
    backbone: Backbone, lora: LoraWeights | None, room: Room, shape: Sequence[int] | None = None
) -> float:
    """Seconds per noisy picture, with a counterfactual on the UNet where one is given."""
    call = _inputs(backbone, room.rows, shape)
    with backbone.counterfactual(lora) if lora else nullcontext():
        return room.attempt(
            lambda rows: _pace(lambda n: call(n).sum().item(), rows, backbone),
        )


def _inputs(
    backbone: Backbone, most: int, shape: Sequence[int] | None = None
) -> Callable[[int], torch.Tensor]:
    """A call of the UNet with so many pictures."""
    x_t = torch.zeros(most, *(shape or backbone.latent_shape))
    t = torch.full((most,), backbone.schedule.length // 2)
    condition = backbone.encode_prompts([""]).take([0] * most)

    def call(rows: int) -> torch.Tensor:
        return backbone.predict_eps(x_t[:rows], t[:rows], condition.take(range(rows)))

    return call


def _pace(work: Callable[[int], object], rows: int, backbone: Backbone) -> float:
    """Seconds per picture of work(rows): the better of two calls after a first with one picture."""
    first = _seconds(work, 1)
    if first > PATIENCE and backbone.device.type == "cpu":
        return first
    return min(_seconds(work, rows) for _ in range(2)) / rows


def _seconds(work: Callable[[int], object], rows: int) -> float:
    started = time.perf_counter()
    work(rows)
    return time.perf_counter() - started
