"""The noise schedule and everything the method derives from it: pure tensors.

Symbols are the paper's: x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps. Timesteps are
0 ... T-1 as in diffusers; alpha_bar_{-1} = 1. t is a long tensor (n,), pictures are (n, c, h, w).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PREDICTIONS = ("epsilon", "v_prediction", "sample")


@dataclass(frozen=True)
class NoiseSchedule:
    """alpha_bar: (T,) float64, strictly decreasing in (0, 1)."""

    alpha_bar: Tensor

    @property
    def length(self) -> int:
        return len(self.alpha_bar)

    def kl_weight(self, t: Tensor) -> Tensor:
        """w_t with KL(q(x_{t-1} | x_t, x0) || p(x_{t-1} | x_t)) = w_t ||eps - eps_hat||^2, in nats.

        w_t = beta_t^2 / (2 sigma_t^2 alpha_t (1 - alpha_bar_t)), with the fixed posterior variance
        sigma_t^2 = beta_t (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t) (Ho et al. 2020, eqs. 7 and 8).
        t = 0 has no KL term (its variance is 0) and is refused.

        Returns float64 (n,). Raises ValueError when a t is outside 1 ... T-1.
        """
        if t.min() < 1 or t.max() >= self.length:
            raise ValueError(f"t must lie in 1..{self.length - 1}, got {t.min()}..{t.max()}")
        a_bar, a_bar_prev = self.alpha_bar[t.cpu()], self.alpha_bar[t.cpu() - 1]
        alpha = a_bar / a_bar_prev
        beta = 1 - alpha
        sigma2 = beta * (1 - a_bar_prev) / (1 - a_bar)
        return beta**2 / (2 * sigma2 * alpha * (1 - a_bar))

    def scales(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), shaped to broadcast over `like`."""
        shape = (-1,) + (1,) * (like.ndim - 1)
        dtype = torch.promote_types(like.dtype, torch.float32)

        def at(values: Tensor) -> Tensor:  # cast before it moves: not every device has float64
            return values.sqrt().to(dtype).to(like.device)[t.to(like.device)].view(shape)

        return at(self.alpha_bar), at(1 - self.alpha_bar)

    def add_noise(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t, (n, c, h, w)."""
        signal, noise = self.scales(t, x0)
        return (signal * x0 + noise * eps).to(x0.dtype)

    def to_eps(self, prediction: Tensor, x_t: Tensor, t: Tensor, kind: str) -> Tensor:
        """The noise that a network's output implies; `kind` as in diffusers' `prediction_type`.

        v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0 (Salimans & Ho 2022).
        """
        if kind == "epsilon":
            return prediction
        signal, noise = self.scales(t, x_t)
        if kind == "v_prediction":
            return signal * prediction + noise * x_t
        if kind == "sample":
            return (x_t - signal * prediction) / noise
        raise ValueError(f"prediction type {kind!r} is none of {', '.join(PREDICTIONS)}")

    def posterior_weights(self, x_t: Tensor, t: Tensor, candidates: Tensor) -> Tensor:
        """(n, K) float32: how likely x_t (n, c, h, w) came from each of (n, K, c, h, w)."""
        gamma, sigma = self.scales(t, x_t)
        gap = (x_t[:, None] - gamma[:, None] * candidates).flatten(2).square().sum(2)
        return torch.softmax(-gap / (2 * sigma.view(-1, 1).square()), 1)

    def posterior_eps(self, x_t: Tensor, t: Tensor, candidates: Tensor) -> Tensor:
        """The noise that the best denoiser would predict if only the candidates existed."""
        gamma, sigma = self.scales(t, x_t)
        weight = self.posterior_weights(x_t, t, candidates)
        x0 = (weight[..., None, None, None] * candidates).sum(1)
        return (x_t - gamma * x0) / sigma

    def to_x0(self, eps: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The clean picture that a noise estimate implies."""
        signal, noise = self.scales(t, x_t)
        return (x_t - noise * eps) / signal
