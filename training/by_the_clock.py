"""Training until the clock says so, in one process or in several that share their gradients."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed, nn

RANK, WORLD = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


class Average:
    """Exponential moving average of the parameters, with a warm-up."""

    def __init__(self, modules: list[torch.nn.Module], decay: float):
        self.modules, self.decay, self.step = modules, decay, 0
        self.shadow = [p.detach().clone() for m in modules for p in m.parameters()]

    @torch.no_grad()
    def update(self) -> None:
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        live = [p for m in self.modules for p in m.parameters()]
        torch._foreach_lerp_(self.shadow, [p.detach() for p in live], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        live = [p for m in self.modules for p in m.parameters()]
        for p, s in zip(live, self.shadow, strict=True):
            kept = p.detach().clone()
            p.copy_(s)
            s.copy_(kept)


def agreed(value: float) -> float:
    """Rank 0's value, in every process."""
    if WORLD == 1:
        return value
    box = torch.tensor(value, dtype=torch.float64)
    distributed.broadcast(box, 0)
    return box.item()


def average_gradients(parameters: list[nn.Parameter]) -> None:
    if WORLD > 1:
        flat = torch.cat([p.grad.flatten() for p in parameters])
        distributed.all_reduce(flat)
        for p, g in zip(
            parameters, flat.div_(WORLD).split([p.numel() for p in parameters]), strict=True
        ):
            p.grad.copy_(g.view_as(p))


def wait() -> None:
    """Until every process is here: what the first one writes, the others read."""
    if WORLD > 1:
        distributed.barrier()


def run(
    name: str,
    modules: list[torch.nn.Module],
    loss: Callable[[int], torch.Tensor],
    minutes: float,
    lr: float,
    work: Path,
    save: Callable[[], None],
) -> None:
    """Train until the clock says `minutes`; cosine learning rate; checkpoints every two minutes."""
    parameters = [p for m in modules for p in m.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=lr, weight_decay=0.01, betas=(0.9, 0.98), fused=True
    )
    average = Average(modules, 0.999)
    state_file = work / f"{name}.pt"
    step, spent = 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        for module, weights in zip(modules, state["modules"], strict=True):
            module.load_state_dict(weights)
        optimizer.load_state_dict(state["optimizer"])
        average.shadow, average.step = state["shadow"], state["step"]
        step, spent = state["step"], state["spent"]
    lr *= WORLD**0.5
    start, saved, shown = time.monotonic() - spent, time.monotonic(), []

    def checkpoint() -> None:
        torch.save(
            {
                "modules": [m.state_dict() for m in modules],
                "optimizer": optimizer.state_dict(),
                "shadow": average.shadow,
                "step": step,
                "spent": time.monotonic() - start,
            },
            state_file,
        )
        average.swap()
        save()
        average.swap()

    while (done := agreed((time.monotonic() - start) / (60 * minutes))) < 1:
        rate = lr * min(1, (step + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        value = loss(WORLD * step + RANK)
        value.backward()
        average_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update()
        step += 1
        shown.append(value.item())
        if step % 100 == 0 and RANK == 0:
            mean = sum(shown[-100:]) / len(shown[-100:])
            print(f"{name} step {step} loss {mean:.4f} lr {rate:.1e} {done:.1%}", flush=True)
        if time.monotonic() - saved > 120 and RANK == 0:
            checkpoint()
            saved = time.monotonic()
    if RANK == 0:
        checkpoint()
    wait()
