"""GUDA in one page, on the built-in model: which of three styles did it learn a picture from?

    python examples/one_page.py

Murata et al. 2026. The maths is written out; of guda it takes the model alone (diffusion/protocol).
x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps; rows are (n, c, h, w), timesteps (n,).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from guda import load_model
from guda.config import SampleConfig
from guda.diffusion import Backbone, LoraWeights
from guda.steps import drain

STYLES = ("noto blob", "ink", "twemoji")
CONTENTS = ("cat face", "red apple", "rocket", "sunflower", "octopus", "house")
QUESTION = "fox"  # drawn in each of the styles, and asked about
STEPS, ROWS, RATE, POINTS = 40, 6, 1e-2, 96


def main() -> dict[str, dict[str, float]]:
    """{style that the picture was drawn in: {style that was unlearned: delta in nats}}."""
    model = load_model("demo", device="cpu")
    latents = {s: draw(model, [prompt(c, s) for c in CONTENTS]) for s in STYLES}
    without = {s: unlearn(model, latents, s) for s in STYLES}
    asked = draw(model, [prompt(QUESTION, s) for s in STYLES])
    deltas = {}
    for style, x0 in zip(STYLES, asked, strict=True):
        full = elbo(model, x0, QUESTION)
        deltas[style] = {}
        for group, lora in without.items():
            with model.counterfactual(lora):
                deltas[style][group] = full - elbo(model, x0, QUESTION)
    return deltas


def prompt(content: str, style: str) -> str:
    return f"{content}, in {style} style"


def draw(model: Backbone, prompts: list[str]) -> Tensor:
    """What the full model draws, as latents; it learned the styles, so no data are needed."""
    return model.encode_images(drain(model.sample(prompts, prompts, SampleConfig(steps=10))))


def noised(model: Backbone, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """x_t."""
    alpha_bar = model.schedule.alpha_bar[t].float().view(-1, 1, 1, 1)
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps


def timesteps(model: Backbone, n: int, rng: torch.Generator) -> Tensor:
    """n timesteps, one in each of n strata of log t: p(t) is about 1 / (t log T)."""
    u = (torch.arange(n) + torch.rand(n, generator=rng)) / n
    return (model.schedule.length**u).long().clamp(1, model.schedule.length - 1)


def unlearn(model: Backbone, latents: dict[str, Tensor], style: str) -> LoraWeights:
    """A LoRA with which the model answers a prompt of `style` as if it named another style.

    loss = ||eps_theta(x_t, c_forget) - eps_full(x_t, c_anchor)||^2
         + ||eps_theta(x_t, c_retain) - eps_full(x_t, c_retain)||^2
    """
    rng = torch.Generator().manual_seed(0)
    others = [s for s in STYLES if s != style]

    def some(n: int) -> list[int]:
        return torch.randint(len(CONTENTS), (n,), generator=rng).tolist()

    with model.training_lora(modules="attention", rank=8, alpha=8.0, seed=0) as lora:
        parameters = list(lora.parameters().values())
        optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
        for step in range(STEPS):
            forget = [(CONTENTS[i], style, latents[style][i]) for i in some(ROWS)]
            kept = [others[(step + j) % len(others)] for j in range(ROWS)]
            retain = [
                (CONTENTS[i], s, latents[s][i]) for i, s in zip(some(ROWS), kept, strict=True)
            ]
            rows = forget + retain
            x0 = torch.stack([x for *_, x in rows])
            asked = model.encode_prompts([prompt(c, s) for c, s, _ in rows])
            anchors = [prompt(c, s) for (c, *_), s in zip(forget, kept, strict=True)]
            shown = model.encode_prompts([*anchors, *(prompt(c, s) for c, s, _ in retain)])
            t = timesteps(model, len(rows), rng)[torch.randperm(len(rows), generator=rng)]
            x_t = noised(model, x0, torch.randn(x0.shape, generator=rng), t)
            with torch.no_grad(), lora.off():
                target = model.predict_eps(x_t, t, shown)
            error = (model.predict_eps(x_t, t, asked) - target).square().mean(dim=(1, 2, 3))
            loss = error[:ROWS].mean() + error[ROWS:].mean()
            optimizer.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * step / STEPS)) / 2
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return lora.weights()


@torch.no_grad()
def elbo(model: Backbone, x0: Tensor, text: str) -> float:
    """-sum_t KL_t in nats, without the constant terms; the same noise for every model.

    KL_t = w_t ||eps - eps_hat(x_t, t, c)||^2, w_t = beta^2 / (2 sigma^2 alpha (1 - alpha_bar)) with
    sigma^2 = beta (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t)  (Ho et al. 2020, eqs. 7 and 8).
    The sum over t is the mean over POINTS timesteps of KL_t / p(t).
    """
    rng = torch.Generator().manual_seed(1)
    t = timesteps(model, POINTS, rng)
    eps = torch.randn(POINTS, *x0.shape, generator=rng)
    a_bar, before = model.schedule.alpha_bar[t], model.schedule.alpha_bar[t - 1]
    alpha = a_bar / before
    beta = 1 - alpha
    sigma2 = beta * (1 - before) / (1 - a_bar)
    w = beta**2 / (2 * sigma2 * alpha * (1 - a_bar))
    p = torch.log((t + 1) / t) / math.log(model.schedule.length)
    condition = model.encode_prompts([text]).take([0] * POINTS)
    eps_hat = model.predict_eps(noised(model, x0, eps, t), t, condition)
    error = (eps - eps_hat).square().sum(dim=(1, 2, 3)).double()
    return -(w * error / p).mean().item()


if __name__ == "__main__":
    for drawn, row in main().items():
        told = ", ".join(f"{group} {delta:+.1f}" for group, delta in row.items())
        leader = max(row, key=row.__getitem__)
        print(f"{QUESTION} drawn in {drawn} style: {told}; learned from {leader}")
