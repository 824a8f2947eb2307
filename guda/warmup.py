"""A warm-up: the real UNet works a few times, timed, with every tensor counted while it lives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch

from . import footprint
from .backbone import Backbone, LoraWeights, checkpointed, training_attention
from .config import UnlearnConfig
from .fit import Fit
from .footprint import Footprint, Live

PATIENCE = 1.0  # seconds of timing


def picture(backbone: Backbone) -> float:
    """Seconds to encode a picture."""
    blank = torch.zeros(1, 3, backbone.resolution, backbone.resolution)
    return _timed(lambda: backbone.encode_images(blank))


def training(
    backbone: Backbone, config: UnlearnConfig, ready: Fit
) -> tuple[Footprint, float, float]:
    """Footprint, seconds per picture of a forward pass, and of one with its backward pass."""
    x_t, t, condition = _inputs(backbone, ready.room.rows)
    with ExitStack() as stack:
        lora = stack.enter_context(
            backbone.training_lora(
                modules=config.modules, rank=config.rank, alpha=config.lora_alpha, seed=0
            )
        )
        if ready.checkpointing:
            stack.enter_context(checkpointed(backbone.unet))
        stack.enter_context(training_attention(backbone.device, footprint.locations(backbone)))
        parameters = list(lora.parameters().values())

        def forward(rows: int) -> None:
            with torch.no_grad(), lora.off():
                backbone.predict_eps(x_t[:rows], t[:rows], condition.take(range(rows))).sum().item()

        def both(rows: int) -> None:
            backbone.predict_eps(
                x_t[:rows], t[:rows], condition.take(range(rows))
            ).square().mean().backward()
            for p in parameters:
                p.grad = None

        def measured(rows: int) -> tuple[Footprint, float, float]:
            with _counted(backbone) as live:
                both(rows)
            first, second = _timed(lambda: forward(rows)), _timed(lambda: both(rows))
            held = footprint.size(parameters)
            weights = footprint.size(backbone.unet.parameters())
            if config.modules != "full":  # there the UNet's parameters are the trained ones
                weights -= held
            memory = Footprint(rows, weights, 2 * held, 2 * held, live.peak - held)
            return memory, first / rows, second / rows

        return ready.room.attempt(measured)


@torch.no_grad()
def scoring(backbone: Backbone, lora: LoraWeights, rows: int) -> tuple[Footprint, float]:
    """Footprint with a counterfactual on the UNet, and seconds per noisy picture."""
    x_t, t, condition = _inputs(backbone, rows)
    weights = footprint.size(backbone.unet.parameters())

    def forward() -> None:
        backbone.predict_eps(x_t, t, condition).sum().item()

    with _counted(backbone) as live, backbone.counterfactual(lora):
        held = live.now
        forward()
    with backbone.counterfactual(lora):
        seconds = _timed(forward)
    return Footprint(rows, weights, held, 0, live.peak - held), seconds / rows


def _inputs(backbone: Backbone, rows: int):
    unet = backbone.unet.config
    x_t = torch.zeros(rows, unet.in_channels, unet.sample_size, unet.sample_size)
    condition = backbone.encode_prompts([""]).take([0] * rows)
    return x_t, torch.full((rows,), backbone.schedule.length // 2), condition


@contextmanager
def _counted(backbone: Backbone) -> Iterator[Live]:
    backbone.ready()
    with Live((*backbone.unet.parameters(), *backbone.unet.buffers())) as live:
        yield live


def _timed(work: Callable[[], object]) -> float:
    """Seconds of one call, the least of a few; the very first is not timed unless it is long."""
    started = time.perf_counter()
    work()
    first = time.perf_counter() - started
    if first > 2 * PATIENCE:
        return first
    times: list[float] = []
    while len(times) < 2 or (sum(times) < PATIENCE / 4 and len(times) < 5):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)
