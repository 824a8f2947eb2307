"""Scores by a model that answers with the clean picture, whatever its noise is and it was taught.

A noisy picture is x_t = alpha_t x0 + sigma_t eps, and its signal-to-noise ratio is
SNR(t) = alpha_t^2 / sigma_t^2: k-diffusion has alpha = 1, rectified flow alpha = 1 - sigma. Scaled
by 1 / sqrt(alpha_t^2 + sigma_t^2) it is the noisy picture of a variance-preserving model at the
same ratio, so all of them share one `NoiseSchedule`, and with it points, weights and maps. A term

    KL_t = 1/2 (SNR(t - 1) - SNR(t)) |x0 - x0_hat|^2        (Kingma et al. 2021, eq. 14)

is `NoiseSchedule.kl_weight` times |eps - eps_hat|^2, as eps - eps_hat is alpha / sigma times
x0_hat - x0; see docs/any-model.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..diffusion.schedule import NoiseSchedule
from ..errors import ModelError

LEAST_NOISE = 0.01
"""sigma / alpha of the cleanest level that counts. What is below lies in the rounding of the
16-bit formats in which models answer, and says next to nothing of a style."""
LEAST_SIGNAL = 1e-4
"""alpha / sigma of the noisiest: of an SNR below 1e-8 nothing of the picture is left to explain."""


@dataclass(frozen=True)
class Levels:
    """A model's own noise levels, from the cleanest on, (T,) float64.

    label: what the model itself is told of a level; mostly sigma.
    """

    alpha: Tensor
    sigma: Tensor
    label: Tensor

    @classmethod
    def of(cls, alpha: Tensor, sigma: Tensor, name: str, label: Tensor | None = None) -> Levels:
        """Those between `LEAST_NOISE` and `LEAST_SIGNAL`. Raises ModelError where they make no
        schedule; `name` is the model's."""
        label = sigma if label is None else label
        alpha, sigma, label = (v.detach().cpu().double() for v in (alpha, sigma, label))
        if not bool((alpha.isfinite() & sigma.isfinite()).all()):
            raise ModelError(f"The noise levels of the model {name} are not finite.")
        use = (sigma >= LEAST_NOISE * alpha) & (alpha >= LEAST_SIGNAL * sigma)
        made = cls(alpha[use], sigma[use], label[use])
        if len(made.alpha) < 3 or not bool((made.snr.diff() < 0).all()):
            raise ModelError(
                f"The model {name} has {len(made.alpha)} usable noise levels in no falling order "
                "of signal to noise; link it without the node that changes its sampling."
            )
        return made

    @property
    def snr(self) -> Tensor:
        """(T,) falling."""
        return (self.alpha / self.sigma).square()

    @property
    def schedule(self) -> NoiseSchedule:
        """The variance-preserving one of the same SNR: alpha_bar = SNR / (1 + SNR)."""
        return NoiseSchedule(self.snr / (1 + self.snr))

    def at(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """alpha_t and sigma_t, shaped to broadcast over `like`."""
        shape = (-1,) + (1,) * (like.ndim - 1)
        alpha, sigma = (v[t.cpu()].float().view(shape) for v in (self.alpha, self.sigma))
        return alpha.to(like.device), sigma.to(like.device)


class Conditions(Protocol):
    """Encoded prompts of any kind of model; of them scoring only takes rows."""

    def __len__(self) -> int: ...

    def take(self, index: Any) -> Any: ...


class Denoiser(Protocol):
    """A model that answers with the clean picture."""

    @property
    def levels(self) -> Levels: ...

    def denoise(self, x: Tensor, t: Tensor, conditions: Any) -> Tensor:
        """x0_hat (n, c, h, w), float32, of x = alpha_t x0 + sigma_t eps; t are numbers of levels,
        and there is a row of conditions for every picture."""
        ...


def predicted_eps(model: Denoiser, x_t: Tensor, t: Tensor, conditions: Any) -> Tensor:
    """The noise that the model's clean picture implies, as `scoring.direct` asks for it.

    x_t: (n, c, h, w) of the variance-preserving schedule `Levels.schedule`.
    """
    alpha, sigma = model.levels.at(t, x_t)
    x = x_t.float() * torch.hypot(alpha, sigma)
    x0_hat = model.denoise(x, t, conditions).to(x.device)
    return (x - alpha * x0_hat) / sigma
