"""Direct counterfactuals: ELBO differences from the full model's own answers, without unlearning.

Under a prompt, an ideal model's density is a mixture over the styles, sum_j pi_j p(x | c, s_j).
Trained again without style k it would be the mixture of the others, whose denoiser is their mean,
weighted by what each makes of x_t. The full model gives all of these answers:

    eps_mix(x_t)       = sum_j q_j eps_full(x_t, "c, in s_j style"),   the q_j add up to one
    eps_without_k(x_t) = the same without j = k, the other q_j scaled up to one
    delta_k = sum of w (|eps - eps_without_k|^2 - |eps - eps_mix|^2)

K answers per point serve all K styles, and one more, to the prompt as given, tells how well the
model explains the picture at all. What the weights q are is a `Mixture`. The full model is
represented by the mixture rather than by its answer to the prompt: what the two differ by has
nothing to do with any one style, and would be in all K deltas alike, as noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config import DIRECT_EVALUATIONS, ElboConfig
from ..diffusion import Backbone, Conditioning
from ..diffusion.room import Room
from ..steps import Step, Steps
from ..variants import MIXTURES, Mixture
from .differences import Differences, by_schedule
from .elbo import Noised, Points, Query, chunks, finite, noised
from .mixtures import without_each


@dataclass(frozen=True)
class Prompts:
    """What the model is asked: for every picture its K prompts in the styles, and its own.

    encoded: whether the query's condition is the pictures' own prompts, which then need no text.
    Where one has none, the styles' words come behind it.
    """

    in_styles: tuple[tuple[str, ...], ...]  # (I, K)
    given: tuple[str, ...]  # (I,)
    encoded: bool = False

    def __len__(self) -> int:
        return len(self.given)

    @property
    def styles(self) -> int:
        """K."""
        return len(self.in_styles[0])

    def part(self, rows: slice) -> Prompts:
        return Prompts(self.in_styles[rows], self.given[rows], self.encoded)


def score_directly(
    backbone: Backbone,
    prompts: Prompts,
    query: Query,
    config: ElboConfig,
    room: Room | None = None,
) -> Steps[Differences]:
    """Differences for every picture and style; yields once per UNet call.

    query: its condition is not read unless it stands for the prompts (`Prompts.encoded`); they are
    encoded here, a few pictures at a time.
    """
    config = config.filled(DIRECT_EVALUATIONS)
    room = room or Room(config.batch_size, backbone.device)

    def measure(points: Points) -> Steps[Differences]:
        return direct_differences(backbone, prompts, query, points, config, room)

    return (yield from by_schedule(measure, config, backbone.schedule.length))


def direct_differences(
    backbone: Backbone,
    prompts: Prompts,
    query: Query,
    points: Points,
    config: ElboConfig,
    room: Room,
) -> Steps[Differences]:
    """The same at given points."""
    images, styles = len(query), prompts.styles
    total = images * len(points) * (styles + 1)
    contributions = np.zeros((images, styles, len(points)))
    maps = torch.zeros(images, styles, *query.latents.shape[-2:])
    elbo, full = np.zeros(images), np.zeros((images, len(points)))
    done = 0
    for rows in chunks(images, len(points), query.latents[0].numel()):
        part = query.part(rows)
        work = noised(part, points, backbone.schedule, config.seed, config.weighting)
        answers = Answers.of(backbone, prompts.part(rows), part.condition)
        nats = backbone.schedule.kl_weight(points.t) * points.weight
        mixing = Mixing(work, nats, MIXTURES[config.mixture], maps[rows])
        while mixing.left:
            index = mixing.next(max(1, room.rows // (styles + 1)))
            parts = []
            for residuals in answers.residuals(backbone, work, index, room):
                parts.append(residuals)
                done += len(residuals)
                yield Step("score", done, total, "full model")
            mixing.add(index, torch.cat(parts).unflatten(0, (len(index), styles + 1)))
        contributions[rows], full[rows] = mixing.contributions, mixing.full
        elbo[rows] = mixing.elbo
    return Differences(contributions, maps, elbo, points, total, full)


@dataclass(frozen=True)
class Answers:
    """Encoded prompts, each different one once."""

    condition: Conditioning
    place: Tensor  # (I, K + 1) rows of `condition`; the prompt as given comes last

    @classmethod
    def of(cls, backbone: Backbone, prompts: Prompts, given: Conditioning | None = None) -> Answers:
        """given: the pictures' own prompts, where `prompts` says that they are encoded."""
        if prompts.encoded and given is not None:
            return cls._beside(backbone, prompts, given)
        texts = [(*s, p) for s, p in zip(prompts.in_styles, prompts.given, strict=True)]
        unique = {t: i for i, t in enumerate(dict.fromkeys(t for row in texts for t in row))}
        place = torch.tensor([[unique[t] for t in row] for row in texts])
        return cls(backbone.encode_prompts(list(unique)), place)

    @classmethod
    def _beside(cls, backbone: Backbone, prompts: Prompts, given: Conditioning) -> Answers:
        parts = []
        for i, (texts, prompt) in enumerate(zip(prompts.in_styles, prompts.given, strict=True)):
            styled, own = backbone.encode_prompts(list(texts)), given.take([i])
            if not prompt.strip():
                styled = given.take([i] * len(texts)).then(styled)
            parts += [styled, own]
        images, asked = len(prompts), prompts.styles + 1
        return cls(type(given).cat(parts), torch.arange(images * asked).view(images, asked))

    @torch.no_grad()
    def residuals(
        self, backbone: Backbone, work: Noised, index: Tensor, room: Room
    ) -> Iterator[Tensor]:
        """eps - eps_hat (n, c, h, w) on the CPU: of the work's rows in `index`, of each to all
        K + 1 prompts, by what goes through the UNet at once.

        Raises ModelError when the model's answer is not finite.
        """
        row = index.repeat_interleave(self.place.shape[1])
        place = self.place[work.image[index]].flatten()

        def residual(part: slice) -> Tensor:
            some, condition = row[part], self.condition.take(place[part])
            eps_hat = backbone.predict_eps(work.x_t[some], work.t[some], condition)
            return (work.eps[some].to(eps_hat.device) - eps_hat).cpu()

        for residuals in room.over(len(row), residual):
            yield finite(residuals, backbone)


class Mixing:
    """Sums up the differences of a few pictures, from the noisiest point to the cleanest.

    So that every mixture may be told what the noisier points said of the styles (`evidence`).
    nats: (P,) what turns a squared error at a point into nats of the ELBO.
    maps: (I, K, h, w), added to.
    """

    def __init__(self, work: Noised, nats: Tensor, mixture: Mixture, maps: Tensor):
        self._work, self._nats, self._mixture, self._maps = work, nats, mixture, maps
        images, styles = maps.shape[:2]
        noisiest = work.t[: len(nats)].argsort(descending=True, stable=True)
        rows = torch.arange(images)[None, :] * len(nats) + noisiest[:, None]
        self._order, self._at = rows.flatten(), 0
        self._evidence = torch.zeros(images, styles, dtype=torch.float64)
        self.contributions = np.zeros((images, styles, len(nats)))
        self.full = np.zeros((images, len(nats)))  # the terms of the mixture of all styles
        self.elbo = np.zeros(images)  # of the answers to the prompts as given

    @property
    def left(self) -> int:
        """Rows that were not asked for."""
        return len(self._order) - self._at

    def next(self, rows: int) -> Tensor:
        """The next rows of the work, at most so many."""
        index = self._order[self._at : self._at + rows]
        self._at += len(index)
        return index

    def add(self, index: Tensor, residuals: Tensor) -> None:
        """residuals: (n, K + 1, c, h, w) of the rows in `index`."""
        images, points = index // len(self._nats), index % len(self._nats)
        flat = residuals.flatten(2).double()
        gram = flat @ flat.transpose(1, 2)
        nats = self._nats[points][:, None] * gram.diagonal(dim1=1, dim2=2)[:, :-1]
        evidence = torch.empty_like(nats)
        for n, image in enumerate(images.tolist()):  # a picture's rows depend on those before
            evidence[n] = self._evidence[image]
            self._evidence[image] -= nats[n]
        q = self._mixture(gram, evidence)
        q = torch.cat([without_each(q), q[:, None]], 1).to(residuals.dtype)
        mixed = torch.einsum("nkj,njchw->nkchw", q, residuals[:, :-1]).square_().sum(2)
        weight = self._work.weight[index][:, None, None]
        gap = (mixed[:, :-1] - mixed[:, -1:]) * weight[:, None]
        given = residuals[:, -1].square().sum(1)
        for n, (image, point) in enumerate(zip(images.tolist(), points.tolist(), strict=True)):
            self.contributions[image, :, point] = gap[n].double().sum((1, 2)).numpy()
            self._maps[image] += gap[n]
            self.full[image, point] = (mixed[n, -1] * weight[n]).double().sum().item()
            self.elbo[image] -= (given[n] * weight[n]).double().sum().item()
