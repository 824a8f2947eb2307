"""EK-FAC influence functions (Grosse et al. 2023; for diffusion models Mlodozeniec et al. 2025).

influence(q, i) = g_q^T (F + damping)^-1 g_i with g the gradients of 1/2 ||eps_hat - eps||^2 at P
fixed points, F the Fisher matrix of N(eps_hat, 1), which is the loss's Gauss-Newton matrix. Rows
are pairs (picture, point): gradients add up over points and pictures, and so does the influence.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ...diffusion import Backbone
from ...diffusion.noise import standard_normal
from ...scoring.elbo import Query
from ...steps import Step, Steps
from .base import SCORERS, Corpus, Progress, Scorer, UnetCopy, need, noisy, stepwise, timesteps


@SCORERS.add()
def ekfac(
    *,
    points: int = 4,
    damping: float | None = None,
    parameters: str = "all",
    batch: int = 128,
) -> Scorer:
    """kronfluence's EK-FAC on the UNet's Linear and Conv2d modules, summed by group, signed.

    damping: added to the eigenvalues; None for a tenth of each module's mean eigenvalue.
    parameters: see `base.PARAMETERS`. batch: rows at a time.
    """

    def score(corpus: Corpus, query: Query) -> Steps[np.ndarray]:
        need("kronfluence", "kronfluence")

        def work(report: Callable[[Step], None]) -> np.ndarray:
            with tempfile.TemporaryDirectory(prefix="guda-ekfac-") as folder:
                return scores(corpus, query, report, folder)

        return (yield from stepwise(work))

    def scores(
        corpus: Corpus, query: Query, report: Callable[[Step], None], folder: str
    ) -> np.ndarray:
        from kronfluence.arguments import FactorArguments, ScoreArguments

        t = timesteps(points, corpus.backbone.schedule.length)
        train, asked = Rows(corpus.whole(), t, corpus), Rows(query, t, corpus)
        total = 3 * len(train) + len(corpus.groups) * len(asked)
        progress = Progress(report, "ekfac", total)

        def collate(items: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
            return progress.collate(items)  # kronfluence copies methods, and would count in copies

        analyzer = _analyzer(corpus.backbone, parameters, folder, collate)
        analyzer.fit_all_factors(
            "factors", train, per_device_batch_size=batch, factor_args=FactorArguments("ekfac")
        )
        sums = []
        for k, group in enumerate(corpus.groups.values()):
            # F is symmetric: the group's summed gradient takes the query's place and is
            # preconditioned once, so that no more than one such gradient is held.
            pairs: Any = analyzer.compute_pairwise_scores(
                f"group {k}",
                "factors",
                query_dataset=Rows(group, t, corpus),
                train_dataset=asked,
                per_device_query_batch_size=batch,
                per_device_train_batch_size=batch,
                score_args=ScoreArguments(damping_factor=damping, aggregate_query_gradients=True),
            )
            pairs = pairs or analyzer.load_pairwise_scores(f"group {k}")
            rows = pairs["all_modules"].double().view(len(query), points)
            sums.append(rows.mean(1) / points)
        return torch.stack(sums, 1).numpy()

    return score


def _analyzer(backbone: Backbone, parameters: str, folder: str, collate: Callable) -> Any:
    """kronfluence's, on a copy of the UNet, with its files in `folder`."""
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.utils.dataset import DataLoaderKwargs

    model = UnetCopy(backbone, parameters)
    task = _task()(tracked(model))
    # No log level: kronfluence would set the root logger's.
    analyzer = Analyzer(
        "ekfac",
        prepare_model(model, task),
        task,
        cpu=backbone.device.type == "cpu",
        disable_tqdm=True,
        output_dir=folder,
    )
    analyzer.set_dataloader_kwargs(DataLoaderKwargs(collate_fn=collate))
    return analyzer


def tracked(model: UnetCopy) -> list[str]:
    """Names of the Linear and Conv2d modules whose weight is to be trained."""
    chosen = model.trainable()
    return [
        name
        for name, module in model.named_modules()
        if type(module) in (nn.Linear, nn.Conv2d) and f"{name}.weight" in chosen
    ]


class Rows(Dataset):
    """(x_t, eps, t, embeds, noise to sample from N(eps_hat, 1) with) by (picture, point)."""

    def __init__(self, query: Query, t: Tensor, corpus: Corpus):
        self._query, self._t, self._corpus = query, t, corpus

    def __len__(self) -> int:
        return len(self._query) * len(self._t)

    def __getitem__(self, row: int) -> tuple[Tensor, ...]:
        i, j = divmod(row, len(self._t))
        seed = self._corpus.seed
        one = self._query.part(slice(i, i + 1))
        part = noisy(one, self._t, self._corpus.backbone.schedule, seed)
        eps = part.eps[0, j]
        sampled = standard_normal(seed, f"fisher/{one.keys[0]}", int(self._t[j]), j, eps.shape)
        return part.x_t[0, j], eps, self._t[j], part.embeds[0], sampled


@cache
def _task() -> type:
    """A class, made on demand, as its base comes from the bench extra."""
    from kronfluence.task import Task

    class Denoising(Task):
        def __init__(self, modules: list[str]):
            self._modules = modules

        def get_influence_tracked_modules(self) -> list[str]:
            return self._modules

        def compute_train_loss(
            self, batch: tuple[Tensor, ...], model: nn.Module, sample: bool = False
        ) -> Tensor:
            x_t, eps, t, embeds, sampled = batch
            eps_hat = model(x_t, t, embeds)
            target = eps_hat.detach() + sampled if sample else eps
            return (eps_hat - target).square().sum() / 2

        def compute_measurement(self, batch: tuple[Tensor, ...], model: nn.Module) -> Tensor:
            return self.compute_train_loss(batch, model)

    return Denoising
