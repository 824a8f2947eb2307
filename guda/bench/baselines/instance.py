"""Unlearning the query instead of the group (Wang et al. 2024).

theta_-q = theta + step F^-1 grad L(q, theta);  score_i = L(i, theta_-q) - L(i, theta), with F the
diagonal of the training pictures' empirical Fisher matrix and L the diffusion loss at P fixed
points. The weights live in a dict beside the model, so that there is nothing to put back.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad

from ...errors import ConfigError
from ...scoring.elbo import Query
from ...steps import Step, Steps
from .base import SCORERS, Corpus, Noisy, Scorer, UnetCopy, noisy, timesteps
from .slopes import example_loss, gradients, simple_loss

Weights = dict[str, Tensor]


@SCORERS.add(counted=False)
def instance(
    *,
    steps: int = 1,
    size: float = 0.01,
    damping: float = 0.1,
    points: int = 4,
    pictures: int = 64,
    parameters: str = "key_value",
    batch: int = 64,
) -> Scorer:
    """Mean over the group of how much of its pictures a model that unlearned the query forgets.

    size: how far `steps` steps go together, in the metric F and in units of the mean training loss.
    The smaller it is, the nearer the score comes to an influence function. (The paper's step has
    a fixed factor instead; here every query is unlearned as far.) damping: added to F, in units of
    its mean. pictures: of every group, evenly spaced, whose loss is measured. parameters: see
    `base.PARAMETERS`; the paper's are the cross-attention keys and values.
    """
    if steps < 1 or size <= 0 or damping <= 0 or pictures < 1:
        raise ConfigError(
            f"steps is {steps}, size {size}, damping {damping}, pictures {pictures}; all must be "
            "above 0."
        )

    def score(corpus: Corpus, query: Query) -> Steps[np.ndarray]:
        model = UnetCopy(corpus.backbone, parameters)
        full = {name: p.detach() for name, p in model.trainable().items()}
        t = timesteps(points, corpus.backbone.schedule.length)
        loss = example_loss(model, t.to(corpus.backbone.device), simple_loss)
        train = corpus.whole()
        some = [_evenly(q, pictures) for q in corpus.groups.values()]
        asked = Corpus(corpus.backbone, dict(zip(corpus.groups, some, strict=True)), corpus.seed)
        total, done = len(train) + len(query), 0

        squares = torch.zeros(())
        for g in gradients(model, loss, train, t, corpus, batch):
            squares = squares.to(g.device) + g.double().square().sum(0)
            done += len(g)
            yield Step("baseline", done, total, "instance")
        fisher = (squares / len(train)).float()
        precision = fisher + damping * fisher.mean()

        schedule, seed = corpus.backbone.schedule, corpus.seed
        watched = noisy(asked.whole(), t, schedule, seed)
        before = losses(model, full, watched, t, batch)
        length = size * before.mean().item() / steps
        scores = []
        for i in range(len(query)):
            own = noisy(query.part(slice(i, i + 1)), t, schedule, seed)
            x_t, eps, embeds = own.to(corpus.backbone.device)
            example = (x_t[0], eps[0], embeds[0])
            weights = full
            for _ in range(steps):
                weights = ascend(weights, grad(loss)(weights, example), precision, length)
            rise = losses(model, weights, watched, t, batch) - before
            scores.append(asked.sums(rise[None].numpy())[0] / [len(q) for q in some])
            done += 1
            yield Step("baseline", done, total, "instance")
        return np.stack(scores)

    return score


def ascend(weights: Weights, slope: Weights, precision: Tensor, length: float) -> Weights:
    """One natural-gradient step up: delta ~ F^-1 g with delta^T F delta = length^2."""
    g = torch.cat([slope[name].flatten() for name in weights])
    delta = g / precision
    delta = delta * (length / (g * delta).sum().sqrt().clamp(min=1e-30))
    parts = delta.split([w.numel() for w in weights.values()])
    return {
        name: w + part.view_as(w) for (name, w), part in zip(weights.items(), parts, strict=True)
    }


@torch.no_grad()
def losses(model: UnetCopy, weights: Weights, pictures: Noisy, t: Tensor, batch: int) -> Tensor:
    """(n,) float64 on the CPU: every picture's loss, averaged over its points."""
    parts = []
    device = next(model.parameters()).device
    for rows in torch.arange(len(pictures.x_t)).split(batch):
        part = Noisy(pictures.x_t[rows], pictures.eps[rows], pictures.embeds[rows])
        x_t, eps, embeds = part.to(device)
        arguments = (x_t.flatten(0, 1), t.repeat(len(rows)).to(device))
        eps_hat = functional_call(model, weights, (*arguments, embeds.repeat_interleave(len(t), 0)))
        error = (eps_hat - eps.flatten(0, 1)).square()
        parts.append(error.flatten(1).double().mean(1).view(len(rows), -1).mean(1).cpu())
    return torch.cat(parts)


def _evenly(query: Query, most: int) -> Query:
    """At most that many of its pictures, evenly spaced."""
    n = min(most, len(query))
    index = torch.linspace(0, len(query) - 1, n).round().long()
    keys = tuple(query.keys[i] for i in index.tolist())
    return Query(query.latents[index], query.condition.take(index), keys)
