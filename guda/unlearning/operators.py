"""Unlearning operators: (full model, model being unlearned, batch, config) -> (forget, preserve).

Each trains the forget rows towards a target of its own and keeps the retain rows at the full
model's answer to their captions. To add one, write the function here under `OPERATORS.add`.
gamma_t = sqrt(alpha_bar_t), sigma_t = sqrt(1 - alpha_bar_t).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..settings import setting
from ..variants import OPERATORS

if TYPE_CHECKING:
    from torch import Tensor

    from ..config import UnlearnConfig
    from .batches import Batch, Predict

NEIGHBOURS = {
    "neighbours": setting(
        10, "retrack, teacher_anchored: nearest retain pictures per forget picture.", low=1
    ),
    "kl_cap": setting(
        0.0,
        "retrack, teacher_anchored: largest correction of the target, half its squared norm; "
        "0 is no cap. Below about 8 the target is nearly the true noise, which teaches the group "
        "instead of unlearning it.",
        low=0.0,
    ),
}
STRENGTH = {
    "esd_strength": setting(
        1.0, "esd: how far the target lies beyond the model's answer without the style.", low=0.0
    )
}


@OPERATORS.add("the model's answer to the anchor (GUDA-C)", needs_prompts=True, anchored=True)
def redirect(
    full: Predict, student: Predict, batch: Batch, config: UnlearnConfig
) -> tuple[Tensor, Tensor]:
    """Murata et al. 2026, GUDA-C:

    forget   = ||eps_theta(x_t, c_forget) - eps_full(x_t, c_anchor)||^2  on the forget rows
    preserve = ||eps_theta(x_t, c) - eps_full(x_t, c_whole)||^2          on the retain rows

    c_whole is the whole caption where c is one that was dropped, else c itself.
    """
    return batch.losses(student, batch.teacher(full))


@OPERATORS.add("the nearest retain pictures (GUDA-U)", needs_neighbours=True, settings=NEIGHBOURS)
def retrack(
    full: Predict, student: Predict, batch: Batch, config: UnlearnConfig
) -> tuple[Tensor, Tensor]:
    """Murata et al. 2026, GUDA-U: the denoising direction towards the K nearest retain pictures.

    target = eps + sum_r w_r delta_r,  delta_r = gamma_t / sigma_t (x0 - x_r),
    w_r ~ exp(-||x_t - gamma_t x_r||^2 / (2 sigma_t^2)),  ||delta_r||^2 <= 2 kl_cap if there is one
    """
    target = batch.teacher(full)
    x_t, t, eps, neighbours = batch.forget_rows(target.device)
    weight = batch.schedule.posterior_weights(x_t, t, neighbours)
    gamma, sigma = batch.schedule.scales(t, x_t)
    delta = (x_t[:, None] - gamma[:, None] * neighbours) / sigma[:, None] - eps[:, None]
    if config.kl_cap:
        delta = _clip(delta, config.kl_cap)
    target[: batch.n] = eps + (weight[..., None, None, None] * delta).sum(1)
    return batch.losses(student, target)


@OPERATORS.add(
    "the same, as a bounded correction of the model's answer",
    needs_neighbours=True,
    settings=NEIGHBOURS,
)
def teacher_anchored(
    full: Predict, student: Predict, batch: Batch, config: UnlearnConfig
) -> tuple[Tensor, Tensor]:
    """As `retrack`, but a correction of the full model's answer, so that its size is bounded too:

    target = eps_full + clip(eps_retrack - eps_full, kl_cap)
    """
    target = batch.teacher(full)
    x_t, t, _, neighbours = batch.forget_rows(target.device)
    teacher = target[: batch.n].clone()
    correction = (batch.schedule.posterior_eps(x_t, t, neighbours) - teacher)[:, None]
    if config.kl_cap:
        correction = _clip(correction, config.kl_cap)
    target[: batch.n] = teacher + correction[:, 0]
    return batch.losses(student, target)


@OPERATORS.add(
    "away from the style",
    settings=STRENGTH,
    evaluations=lambda n, m, conditional: 2 * (n + m) + (2 * n if conditional else n),
)
def esd(
    full: Predict, student: Predict, batch: Batch, config: UnlearnConfig
) -> tuple[Tensor, Tensor]:
    """Gandikota et al. 2023: target = eps_full(x_t) - strength (eps_full(x_t, c) - eps_full(x_t)).

    Without words, as in an unconditional model, there is no eps_full(x_t, c): the step's own forget
    pictures stand for it, as the best denoiser that knows nothing else.
    """
    target, n = batch.teacher(full), batch.n
    if n == 0:
        return batch.losses(student, target)
    without = batch.ask(full, batch.empty_condition)
    own = batch.forgotten.expand(n, *batch.forgotten.shape).to(without.device)
    within = batch.schedule.posterior_eps(batch.x_t[:n].to(without.device), batch.t[:n], own)
    if batch.conditional:
        named = batch.ask(full, batch.condition.take(range(n)))
        silent = batch.says_nothing.to(without.device).view(-1, 1, 1, 1)
        within = within.to(named.dtype).where(silent, named)
    target[:n] = without - config.esd_strength * (within - without)
    return batch.losses(student, target)


@OPERATORS.add("away from the picture")
def gradient_ascent(
    full: Predict, student: Predict, batch: Batch, config: UnlearnConfig
) -> tuple[Tensor, Tensor]:
    """forget = -||eps_theta(x_t, c) - eps||^2: up the training loss of the forget pictures."""
    target = batch.teacher(full)
    target[: batch.n] = batch.eps[: batch.n]
    forget, preserve = batch.losses(student, target)
    return -forget, preserve


@OPERATORS.add(
    "nothing, only the retain pictures are trained on",
    evaluations=lambda n, m, conditional: n + m,
)
def retain_only(
    full: Predict, student: Predict, batch: Batch, config: UnlearnConfig
) -> tuple[Tensor, Tensor]:
    """No forget term; the retain rows are trained on as if training went on without the group."""
    forget, preserve = batch.losses(student, batch.eps)
    return 0 * forget, preserve


def _clip(delta: Tensor, cap: float) -> Tensor:
    """delta (n, K, c, h, w) shortened so that each ||delta||^2 / 2 <= cap."""
    norm = delta.flatten(2).norm(dim=2)[..., None, None, None]
    return delta * (math.sqrt(2 * cap) / norm.clamp(min=1e-12)).clamp(max=1)
