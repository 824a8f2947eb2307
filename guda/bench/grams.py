"""The full model's answers in every style at every point, kept as their inner products.

Residuals of a mixture whose weights add up to one mix with the same weights: the squared error of
sum_j q_j eps_hat_j is q^T G q, with G the Gram matrix of the residuals eps - eps_hat_j. So every
choice of q, of points and of their weights can be tried without another UNet evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..config import ElboConfig
from ..counterfactuals.direct import DirectCounterfactuals
from ..diffusion import Backbone
from ..diffusion.room import Room
from ..scoring import allocation
from ..scoring.direct import Answers, Prompts
from ..scoring.elbo import Points, Query, chunks, noised
from ..scoring.mixtures import nearest_mixture, without_each
from ..steps import Step, Steps


def grams(
    backbone: Backbone,
    without: DirectCounterfactuals,
    query: Query,
    prompts: Sequence[str],
    config: ElboConfig,
) -> Steps[tuple[np.ndarray, Points]]:
    """(I, P, K + 2, K + 2) float64 and the P points.

    The prompt in each of K styles, then its content without a style, then the prompt as given.
    """
    asked = [without.asked(p) for p in prompts]
    texts = Prompts(tuple((*a.in_styles, a.content) for a in asked), tuple(prompts))
    points = allocation.points(config, backbone.schedule.length)
    room = Room(config.batch_size, backbone.device)
    answers, images, p = len(without.styles) + 2, len(query), len(points)
    out = np.zeros((images * p, answers, answers))
    for rows in chunks(images, p, query.latents[0].numel()):
        work = noised(query.part(rows), points, backbone.schedule, config.seed, config.weighting)
        asker = Answers.of(backbone, texts.part(rows))
        index = torch.arange(len(work.t))
        for some in index.split(max(1, room.rows // answers)):
            parts = list(asker.residuals(backbone, work, some, room))
            flat = torch.cat(parts).unflatten(0, (len(some), answers)).flatten(2).double()
            at = rows.start * p + some.numpy()
            out[at] = (flat @ flat.transpose(1, 2)).numpy()
            yield Step("grams", int(at[-1]) + 1, len(out))
    return out.reshape(images, p, answers, answers), points


def evidence(gram: np.ndarray, nats: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(I, P, K): what the noisier points say of the K styles, in nats.

    gram: (I, P, A, A) of A answers, the K styles' first; nats: (P,) per squared error; t: (P,).
    """
    said = -nats[:, None] * np.diagonal(gram, axis1=2, axis2=3)[:, :, :-2]
    order = np.argsort(-t, kind="stable")
    before = np.cumsum(said[:, order], 1) - said[:, order]
    out = np.empty_like(said)
    out[:, order] = before
    return out


def deltas(gram: np.ndarray, q: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(I, P, K): the error of each mixture without a style minus that of the whole, weighted.

    q: (I, P, K) weights that add up to one; weight: (P,).
    """
    styles = gram[:, :, :-2, :-2]
    left = without_each(torch.from_numpy(q.reshape(-1, q.shape[-1]))).numpy()
    left = left.reshape(*q.shape, q.shape[-1])
    without = np.einsum("ipkj,ipjl,ipkl->ipk", left, styles, left)
    whole = np.einsum("ipj,ipjl,ipl->ip", q, styles, q)
    return (without - whole[:, :, None]) * weight[:, None]


def content_share(gram: np.ndarray, nats: np.ndarray) -> np.ndarray:
    """(I, K): how the answer without a style is made up of the styles', one fit per picture."""
    styles = gram.shape[-1] - 2
    answers = [*range(styles), styles]
    whole = np.einsum("p,ipjl->ijl", nats, gram[:, :, answers][:, :, :, answers])
    return nearest_mixture(torch.from_numpy(whole)).numpy()
