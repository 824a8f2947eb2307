"""ELBO terms of pictures under the full model and the counterfactuals, on the same noise.

I pictures, P evaluation points (a timestep and a draw each), latents (c, h, w). A term is
KL_t = w_t ||eps - eps_hat||^2 in nats, kept per latent location: summed over c, not over h and w.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import Backbone, Conditioning
from ..diffusion.noise import standard_normal
from ..diffusion.room import Room
from ..diffusion.schedule import NoiseSchedule
from ..errors import ModelError


@dataclass(frozen=True)
class Points:
    """Where the ELBO is evaluated: P = 2 S points, two per stratum, side by side.

    weight: what a term counts for in the sum over t = 1 ... T-1, so that sum(weight * term)
    estimates -ELBO without its constant parts.
    """

    t: Tensor  # (P,) long
    draw: Tensor  # (P,) long; tells apart draws at the same t
    weight: Tensor  # (P,) float64
    strata: tuple[tuple[int, int], ...]  # first and last t of each stratum

    def __len__(self) -> int:
        return len(self.t)


@dataclass(frozen=True)
class Query:
    """Pictures to attribute, encoded: latents (I, c, h, w), one prompt and one key per picture."""

    latents: Tensor
    condition: Conditioning
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.latents)

    def part(self, rows: slice) -> Query:
        index = list(range(len(self)))[rows]
        return Query(self.latents[rows], self.condition.take(index), self.keys[rows])


@dataclass(frozen=True)
class Noised:
    """Every (picture, point) of a query, noised once and shared by all models; N = I P rows."""

    x_t: Tensor  # (N, c, h, w)
    eps: Tensor  # (N, c, h, w)
    t: Tensor  # (N,)
    image: Tensor  # (N,)
    weight: Tensor  # (N,) float32, w_t * the point's weight
    condition: Conditioning


def noised(
    query: Query, points: Points, schedule: NoiseSchedule, seed: int, weighting: str = "kl"
) -> Noised:
    """x_t from the noise of (seed, picture, timestep, draw)."""
    pairs = list(zip(points.t.tolist(), points.draw.tolist(), strict=True))
    shape = query.latents.shape[1:]
    eps = torch.stack(
        [standard_normal(seed, key, t, i, shape) for key in query.keys for t, i in pairs]
    )
    image = torch.arange(len(query)).repeat_interleave(len(points))
    t = points.t.repeat(len(query))
    w = schedule.kl_weight(points.t) if weighting == "kl" else torch.ones(len(points)).double()
    return Noised(
        x_t=schedule.add_noise(query.latents[image], eps, t),
        eps=eps,
        t=t,
        image=image,
        weight=(w * points.weight).float().repeat(len(query)),
        condition=query.condition,
    )


@torch.no_grad()
def weighted_terms(backbone: Backbone, work: Noised, batch: int | Room) -> Iterator[Tensor]:
    """Weighted KL terms (n, h, w) of the model as it is now, batch by batch, float32, CPU.

    Raises ModelError when the model's answer is not finite.
    """
    room = Room(batch, backbone.device) if isinstance(batch, int) else batch

    def terms(rows: slice) -> Tensor:
        condition = work.condition.take(work.image[rows])
        eps_hat = backbone.predict_eps(work.x_t[rows], work.t[rows], condition)
        error = (work.eps[rows].to(eps_hat.device) - eps_hat).square_().sum(1)
        return (error * work.weight[rows].to(error.device)[:, None, None]).cpu()

    for weighted in room.over(len(work.t), terms):
        yield finite(weighted, backbone)


def finite(answers: Tensor, backbone: Backbone) -> Tensor:
    """The answers as they are. Raises ModelError where one is not finite."""
    if not answers.isfinite().all():
        raise ModelError(
            f"The model {backbone.name} answers with values that are not finite. Load it with "
            "precision bfloat16 or float32; if it is so already, its weights are damaged."
        )
    return answers


def chunks(images: int, points: int, numbers: int, most: int = 32 << 20) -> Sequence[slice]:
    """Slices of pictures whose noise stays below `most` numbers at a time."""
    size = max(1, most // max(1, points * numbers))
    return [slice(i, i + size) for i in range(0, images, size)]
