"""Unlearning operators: (full model, model being unlearned, batch) -> (forget, preserve) losses.

To add one, write the function, enter it in OPERATORS and its name in `config.OPERATORS`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..backbone import Conditioning
from .plan import Batch

Predict = Callable[[Tensor, Tensor, Conditioning], Tensor]
Operator = Callable[[Predict, Predict, Batch], tuple[Tensor, Tensor]]


def redirect(full: Predict, student: Predict, batch: Batch) -> tuple[Tensor, Tensor]:
    """Murata et al. 2026, GUDA-C:

    forget   = ||eps_theta(x_t, c_forget) - eps_full(x_t, c_anchor)||^2  on the forget rows
    preserve = ||eps_theta(x_t, c) - eps_full(x_t, c)||^2                on the retain rows
    """
    with torch.no_grad():
        target = full(batch.x_t, batch.t, batch.teacher_condition)
    eps_hat = student(batch.x_t, batch.t, batch.condition)
    error = (eps_hat - target).square().mean(dim=(1, 2, 3))
    return error[: batch.n].mean(), error[batch.n :].mean()


OPERATORS: dict[str, Operator] = {"redirect": redirect}
