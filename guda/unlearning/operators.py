"""Unlearning operators: (full model, model being unlearned, batch, config) -> (forget, preserve).

Each trains the forget rows towards a target of its own and keeps the retain rows at the full
model's answer to their captions. To add one, write the function, enter it in OPERATORS and its
name in `config.OPERATORS`. gamma_t = sqrt(alpha_bar_t), sigma_t = sqrt(1 - alpha_bar_t).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..config import UnlearnConfig
from ..diffusion import Conditioning
from ..diffusion.schedule import NoiseSchedule
from .batches import Batch

Predict = Callable[[Tensor, Tensor, Conditioning], Tensor]
Operator = Callable[[Predict, Predict, Batch, UnlearnConfig], tuple[Tensor, Tensor]]


def redirect(
    full: Predict, student: Predict, batch: Batch, config: UnlearnConfig
) -> tuple[Tensor, Tensor]:
    """Murata et al. 2026, GUDA-C:

    forget   = ||eps_theta(x_t, c_forget) - eps_full(x_t, c_anchor)||^2  on the forget rows
    preserve = ||eps_theta(x_t, c) - eps_full(x_t, c_whole)||^2          on the retain rows

    c_whole is the whole caption where c is one that was dropped, else c itself.
    """
    return _towards(_teacher(full, batch), student, batch)


def retrack(
    full: Predict, student: Predict, batch: Batch, config: UnlearnConfig
) -> tuple[Tensor, Tensor]:
    """Murata et al. 2026, GUDA-U: the denoising direction towards the K nearest retain pictures.

    target = eps + sum_r w_r delta_r,  delta_r = gamma_t / sigma_t (x0 - x_r),
    w_r ~ exp(-||x_t - gamma_t x_r||^2 / (2 sigma_t^2)),  ||delta_r||^2 <= 2 kl_cap if there is one
    """
    target = _teacher(full, batch)
    x_t, t, eps, neighbours = _forget_rows(batch, target)
    weight = posterior_weights(x_t, t, neighbours, batch.schedule)
    gamma, sigma = batch.schedule.scales(t, x_t)
    delta = (x_t[:, None] - gamma[:, None] * neighbours) / sigma[:, None] - eps[:, None]
    if config.kl_cap:
        delta = _clip(delta, config.kl_cap)
    target[: batch.n] = eps + (weight[..., None, None, None] * delta).sum(1)
    return _towards(target, student, batch)


def teacher_anchored(
    full: Predict, student: Predict, batch: Batch, config: UnlearnConfig
) -> tuple[Tensor, Tensor]:
    """As `retrack`, but a correction of the full model's answer, so that its size is bounded too:

    target = eps_full + clip(eps_retrack - eps_full, kl_cap)
    """
    target = _teacher(full, batch)
    x_t, t, _, neighbours = _forget_rows(batch, target)
    teacher = target[: batch.n].clone()
    correction = (posterior_eps(x_t, t, neighbours, batch.schedule) - teacher)[:, None]
    if config.kl_cap:
        correction = _clip(correction, config.kl_cap)
    target[: batch.n] = teacher + correction[:, 0]
    return _towards(target, student, batch)


def esd(
    full: Predict, student: Predict, batch: Batch, config: UnlearnConfig
) -> tuple[Tensor, Tensor]:
    """Gandikota et al. 2023: target = eps_full(x_t) - strength (eps_full(x_t, c) - eps_full(x_t)).

    Without words, as in an unconditional model, there is no eps_full(x_t, c): the step's own forget
    pictures stand for it, as the best denoiser that knows nothing else.
    """
    target = _teacher(full, batch)
    n = batch.n
    if n == 0:
        return _towards(target, student, batch)
    x_t, t = batch.x_t[:n], batch.t[:n]
    with torch.no_grad():
        without = full(x_t, t, batch.empty_condition)
        own = batch.forgotten.expand(n, *batch.forgotten.shape).to(without.device)
        within = posterior_eps(x_t.to(without.device), t, own, batch.schedule)
        if batch.conditional:
            named = full(x_t, t, batch.condition.take(range(n)))
            silent = _says_nothing(batch).to(without.device).view(-1, 1, 1, 1)
            within = torch.where(silent, within.to(named.dtype), named)
    target[:n] = without - config.esd_strength * (within - without)
    return _towards(target, student, batch)


def gradient_ascent(
    full: Predict, student: Predict, batch: Batch, config: UnlearnConfig
) -> tuple[Tensor, Tensor]:
    """forget = -||eps_theta(x_t, c) - eps||^2: up the training loss of the forget pictures."""
    target = _teacher(full, batch)
    target[: batch.n] = batch.eps[: batch.n]
    forget, preserve = _towards(target, student, batch)
    return -forget, preserve


def retain_only(
    full: Predict, student: Predict, batch: Batch, config: UnlearnConfig
) -> tuple[Tensor, Tensor]:
    """No forget term; the retain rows are trained on as if training went on without the group."""
    forget, preserve = _towards(batch.eps, student, batch)
    return 0 * forget, preserve


OPERATORS: dict[str, Operator] = {
    "redirect": redirect,
    "retrack": retrack,
    "teacher_anchored": teacher_anchored,
    "esd": esd,
    "gradient_ascent": gradient_ascent,
    "retain_only": retain_only,
}
EVALUATIONS: dict[str, Callable[[int, int, bool], int]] = {
    "redirect": lambda n, m, conditional: 2 * (n + m),
    "retrack": lambda n, m, conditional: 2 * (n + m),
    "teacher_anchored": lambda n, m, conditional: 2 * (n + m),
    "esd": lambda n, m, conditional: 2 * (n + m) + (2 * n if conditional else n),
    "gradient_ascent": lambda n, m, conditional: 2 * (n + m),
    "retain_only": lambda n, m, conditional: n + m,
}
"""UNet evaluations of a step with n forget and m retain rows."""
NEED_PROMPTS = {"redirect"}
NEED_NEIGHBOURS = {"retrack", "teacher_anchored"}


def posterior_weights(
    x_t: Tensor, t: Tensor, candidates: Tensor, schedule: NoiseSchedule
) -> Tensor:
    """(n, K) float32: the probability that x_t (n, c, h, w) came from each of (n, K, c, h, w)."""
    gamma, sigma = schedule.scales(t, x_t)
    gap = (x_t[:, None] - gamma[:, None] * candidates).flatten(2).square().sum(2)
    return torch.softmax(-gap / (2 * sigma.view(-1, 1).square()), 1)


def posterior_eps(x_t: Tensor, t: Tensor, candidates: Tensor, schedule: NoiseSchedule) -> Tensor:
    """The noise that the best denoiser would predict if only the candidates existed."""
    gamma, sigma = schedule.scales(t, x_t)
    weight = posterior_weights(x_t, t, candidates, schedule)
    x0 = (weight[..., None, None, None] * candidates).sum(1)
    return (x_t - gamma * x0) / sigma


def _teacher(full: Predict, batch: Batch) -> Tensor:
    with torch.no_grad():
        return full(batch.x_t, batch.t, batch.teacher_condition)


def _towards(target: Tensor, student: Predict, batch: Batch) -> tuple[Tensor, Tensor]:
    eps_hat = student(batch.x_t, batch.t, batch.condition)
    error = (eps_hat - target.to(eps_hat.device)).square().mean(dim=(1, 2, 3))
    return _mean(error[: batch.n]), _mean(error[batch.n :])


def _mean(error: Tensor) -> Tensor:
    """0 without rows, as a part of a step may have none of one kind."""
    return error.mean() if len(error) else error.sum()


def _forget_rows(batch: Batch, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x_t, t, eps and neighbours of the forget rows, where `like` is."""
    if batch.neighbours is None:
        raise ValueError("this operator needs the batch's nearest retain pictures")
    n = batch.n
    found = (batch.x_t[:n], batch.t[:n], batch.eps[:n], batch.neighbours)
    x_t, t, eps, neighbours = (x.to(like.device) for x in found)
    return x_t, t, eps, neighbours


def _says_nothing(batch: Batch) -> Tensor:
    """(n,) bool: which forget rows' prompts are the empty prompt."""
    own = batch.condition.take(range(batch.n))
    return own.equal(batch.empty_condition)


def _clip(delta: Tensor, cap: float) -> Tensor:
    """delta (n, K, c, h, w) shortened so that each ||delta||^2 / 2 <= cap."""
    norm = delta.flatten(2).norm(dim=2)[..., None, None, None]
    return delta * (math.sqrt(2 * cap) / norm.clamp(min=1e-12)).clamp(max=1)
