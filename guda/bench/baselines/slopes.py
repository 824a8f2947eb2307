"""Gradients of single pictures: (p,) for p trained parameters, of a loss over P fixed points."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from ...scoring.elbo import Query
from .base import Corpus, UnetCopy, noisy

Loss = Callable[[Tensor, Tensor], Tensor]
"""(eps_hat, eps), both (P, c, h, w) -> a number."""

Example = tuple[Tensor, Tensor, Tensor]
"""x_t and eps (P, c, h, w), embeds (tokens, width) of one picture; batched, with n in front."""


def simple_loss(eps_hat: Tensor, eps: Tensor) -> Tensor:
    """What the model was trained with (Ho et al. 2020, eq. 14)."""
    return (eps_hat - eps).square().mean()


def example_loss(
    model: UnetCopy, t: Tensor, loss: Loss
) -> Callable[[dict[str, Tensor], Example], Tensor]:
    """(trained parameters, one picture) -> its loss; for `torch.func`."""

    def of(parameters: dict[str, Tensor], example: Example) -> Tensor:
        x_t, eps, embeds = example
        context = embeds.expand(len(x_t), *embeds.shape)
        return loss(functional_call(model, parameters, (x_t, t, context)), eps)

    return of


def gradients(
    model: UnetCopy,
    loss: Callable[[dict[str, Tensor], Example], Tensor],
    query: Query,
    t: Tensor,
    corpus: Corpus,
    batch: int,
) -> Iterator[Tensor]:
    """Every picture's gradient, (b, p) per batch."""
    slopes = example_gradients(model, loss)
    for start in range(0, len(query), batch):
        part = noisy(
            query.part(slice(start, start + batch)), t, corpus.backbone.schedule, corpus.seed
        )
        yield slopes(part.to(corpus.backbone.device))


def example_gradients(
    model: UnetCopy, loss: Callable[[dict[str, Tensor], Example], Tensor]
) -> Callable[[Example], Tensor]:
    """A batch of examples -> (b, p), parameters in the model's order."""
    parameters = {name: p.detach() for name, p in model.trainable().items()}

    def of(examples: Example) -> Tensor:
        found = vmap(grad(loss), in_dims=(None, 0))(parameters, examples)
        return torch.cat([g.flatten(1) for g in found.values()], 1)

    return of
