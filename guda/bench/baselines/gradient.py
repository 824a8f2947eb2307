"""Gradient-based scorers: TRAK, D-TRAK and DAS through dattri, and plain gradient products.

P fixed points per picture; a picture's gradient is that of its loss averaged over them, (p,) for p
trained parameters. Scores of pictures are summed by group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...errors import ConfigError
from ...scoring.elbo import Query
from ...steps import Step, Steps
from .base import SCORERS, Corpus, Progress, Scorer, UnetCopy, need, noisy, stepwise, timesteps
from .slopes import Example, Loss, example_gradients, example_loss, gradients, simple_loss


def squared_output(eps_hat: Tensor, eps: Tensor) -> Tensor:
    return eps_hat.square().mean()


def mean_output(eps_hat: Tensor, eps: Tensor) -> Tensor:
    return eps_hat.mean()


def residual(eps_hat: Tensor, eps: Tensor) -> Tensor:
    """Root mean square error of the predicted noise, averaged over the points."""
    return (eps_hat - eps).square().flatten(1).mean(1).sqrt().mean()


def one(eps_hat: Tensor, eps: Tensor) -> Tensor:
    return eps_hat.new_ones(())


@SCORERS.add(counted=False)
def trak(**settings) -> Scorer:
    """Park et al. 2023, the diffusion loss for both sides: g_q (G^T G + lambda)^-1 g_i, signed.

    As Zheng et al. 2024 do for diffusion models, without TRAK's weights (1 - p_i). settings: those
    of `projected`.
    """
    return projected(Products("trak", simple_loss, one), **settings)


@SCORERS.add(counted=False)
def dtrak(**settings) -> Scorer:
    """Zheng et al. 2024: TRAK with gradients of ||eps_hat||^2 in place of the loss's, signed."""
    return projected(Products("dtrak", squared_output, one), **settings)


@SCORERS.add(counted=False)
def das(**settings) -> Scorer:
    """Lin et al. 2024: the gradients of eps_hat itself, averaged to a number, times i's residual.

    score_i = (g_q (G^T G + lambda)^-1 g_i r_i)^2. The leave-one-out denominators (1 - leverage) are
    left out, as dattri does not tell them; the paper's score is a norm, so it is squared.
    """
    return projected(Products("das", mean_output, residual, square=True), **settings)


@dataclass(frozen=True)
class Products:
    """Whose gradients are multiplied, and by what weight a training picture's product counts."""

    name: str
    loss: Loss
    weight: Loss
    square: bool = False  # the products


def projected(
    products: Products,
    *,
    points: int = 4,
    regularization: float = 0.1,
    projection: int = 512,
    parameters: str = "all",
    batch: int = 64,
) -> Scorer:
    """dattri's TRAKAttributor on the full model.

    regularization: lambda, in units of the mean diagonal of G^T G. projection: dimensions of the
    random projection. parameters: see `base.PARAMETERS`. batch: pictures whose gradients are held
    at a time; a larger one also draws the projection less often.
    """
    if regularization <= 0:
        raise ConfigError(f"regularization is {regularization}; give a number above 0.")

    def score(corpus: Corpus, query: Query) -> Steps[np.ndarray]:
        algorithm = need("dattri.algorithm.trak", "dattri")
        need("dattri.task", "dattri")

        def work(report: Callable[[Step], None]) -> np.ndarray:
            model = UnetCopy(corpus.backbone, parameters)
            t = timesteps(points, corpus.backbone.schedule.length).to(corpus.backbone.device)
            asked, train = example_loss(model, t, products.loss), corpus.whole()
            attributor = _attributor(model, asked, example_loss(model, t, products.weight), {
                # Every key: what is left out is inherited from the attributor made before.
                "proj_dim": projection,
                "proj_max_batch_size": 32,
                "proj_seed": corpus.seed,
                "proj_type": "normal",
                "device": str(corpus.backbone.device),
            })  # fmt: skip
            progress = Progress(report, products.name, len(train) + len(query))

            def loader(pictures: Query) -> DataLoader:
                data = Pictures(pictures, t.cpu(), corpus)
                return DataLoader(data, batch, collate_fn=progress.collate)

            some = train.part(slice(None, None, max(1, len(train) // 64)))
            size = mean_square(model, asked, some, t, corpus, batch)
            diagonal = len(train) * size / attributor.norm_scaler**2 / projection
            attributor.regularization = regularization * diagonal
            with _quiet(algorithm):
                attributor.cache(loader(train))
                scores = attributor.attribute(loader(query)).T.detach().cpu().double().numpy()
            return corpus.sums(scores**2 if products.square else scores)

        return (yield from stepwise(work))

    return score


def _attributor(model: UnetCopy, loss: Any, weight: Any, projector: dict[str, Any]) -> Any:
    from dattri.algorithm.trak import TRAKAttributor
    from dattri.task import AttributionTask

    task: Any = AttributionTask(
        loss_func=loss,
        model=model,
        checkpoints=[{}],
        checkpoints_load_func=lambda model, _: model,  # the weights are in place
    )
    # dattri takes the gradient by one flat vector of all weights, whose many slices make the
    # backward pass some 50 times slower.
    slopes = example_gradients(model, loss)
    task.get_grad_loss_func = task.get_grad_target_func = lambda **_: lambda _, x: slopes(x)
    return TRAKAttributor(
        task,
        lambda params, data: 1 - weight(params, data),
        projector_kwargs=projector,
        device=projector["device"],
    )


@SCORERS.add(counted=False)
def grad_dot(
    *, points: int = 4, parameters: str = "all", batch: int = 64, normalize: bool = False
) -> Scorer:
    """TracIn (Pruthi et al. 2020) at the last checkpoint: sum of g_q g_i over the group, signed.

    normalize: with unit g_i, so that no picture counts for more than another.
    """

    def score(corpus: Corpus, query: Query) -> Steps[np.ndarray]:
        model = UnetCopy(corpus.backbone, parameters)
        t = timesteps(points, corpus.backbone.schedule.length)
        loss = example_loss(model, t.to(corpus.backbone.device), simple_loss)
        total = len(query) + len(corpus.labels())
        done = 0
        sums = []
        for group in corpus.groups.values():
            sums.append(torch.zeros(()))
            for g in gradients(model, loss, group, t, corpus, batch):
                unit = g / g.norm(dim=1, keepdim=True).clamp(min=1e-30) if normalize else g
                sums[-1] = sums[-1] + unit.double().sum(0).cpu()
                done += len(g)
                yield Step("baseline", done, total, "grad_dot")
        scores = []
        for g in gradients(model, loss, query, t, corpus, batch):
            scores.append(g.double().cpu() @ torch.stack(sums, 1))
            done += len(g)
            yield Step("baseline", done, total, "grad_dot")
        return torch.cat(scores).numpy()

    return score


def mean_square(
    model: UnetCopy, loss, query: Query, t: Tensor, corpus: Corpus, batch: int
) -> float:
    """Mean squared norm of the pictures' gradients."""
    found = gradients(model, loss, query, t.cpu(), corpus, batch)
    return torch.cat([g.double().square().sum(1) for g in found]).mean().item()


class Pictures(Dataset):
    """A query as dattri's loaders take it: `Example`s."""

    def __init__(self, query: Query, t: Tensor, corpus: Corpus):
        self._query, self._t, self._corpus = query, t, corpus

    def __len__(self) -> int:
        return len(self._query)

    def __getitem__(self, i: int) -> Example:
        one = self._query.part(slice(i, i + 1))
        part = noisy(one, self._t, self._corpus.backbone.schedule, self._corpus.seed)
        return part.x_t[0], part.eps[0], part.embeds[0]


@contextmanager
def _quiet(module) -> Iterator[None]:
    """dattri's progress bars have no switch."""
    with patch.object(module, "tqdm", lambda items, **_: items):
        yield
