"""Cosine similarity to a group's pictures, in latents, in the UNet's features, or in others.

Features are (n, d) float32, d whatever the space has; the corpus's mean is taken off before the
cosine, as what all pictures share says nothing about groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...backbone.clip import clip_features
from ...diffusion.noise import standard_normal
from ...errors import ConfigError
from ...scoring.elbo import Query
from ...steps import Step, Steps
from .base import SCORERS, Corpus, Scorer

Space = Callable[[Corpus, Query], Iterator[Tensor]]
"""Features of pictures, batch by batch."""


def _prototype(cosines: Tensor, group: Tensor, k: int) -> Tensor:
    """cos(query, mean of the group's unit features)."""
    return cosines.mean(1) / group.mean(0).norm().clamp(min=1e-12)


def _nearest(cosines: Tensor, group: Tensor, k: int) -> Tensor:
    """Mean cosine to the group's k nearest pictures, or to all where it has fewer."""
    return cosines.topk(min(k, cosines.shape[1]), dim=1).values.mean(1)


RULES = {"prototype": _prototype, "knn": _nearest}


def similarity(space: Space, rule: str, k: int = 10, name: str = "similarity") -> Scorer:
    """A scorer out of a feature space and a name of RULES. k: neighbours, for "knn"."""
    if k < 1:
        raise ConfigError(f"k is {k}; give at least 1 neighbour.")

    def score(corpus: Corpus, query: Query) -> Steps[np.ndarray]:
        parts: dict[str, Query] = dict(corpus.groups)
        features: list[Tensor] = []
        total = len(query) + sum(len(q) for q in parts.values())
        done = 0
        for part in (*parts.values(), query):
            batches = []
            for batch in space(corpus, part):
                batches.append(batch.double())
                done += len(batch)
                yield Step("baseline", done, total, name)
            features.append(torch.cat(batches))
        *groups, asked = features
        mean = torch.cat(groups).mean(0)
        unit = F.normalize(asked - mean, dim=1)
        scores = []
        for group in groups:
            group = F.normalize(group - mean, dim=1)
            scores.append(RULES[rule](unit @ group.T, group, k))
        return torch.stack(scores, 1).numpy()

    return score


def latent(batch: int = 256) -> Space:
    """The latents themselves."""

    def space(corpus: Corpus, query: Query) -> Iterator[Tensor]:
        for part in query.latents.split(batch):
            yield part.flatten(1)

    return space


def unet_features(
    noise_level: float = 0.25, draws: int = 4, pool: bool = False, batch: int = 64
) -> Space:
    """The UNet's own features: its middle block's output on the noised picture, without a prompt.

    noise_level: the timestep as a part of T. draws: noises that the features are averaged over, the
    same for all pictures, as noise that differs would pass for a difference between pictures.
    pool: average over the locations.
    """
    if not 0 < noise_level < 1:
        raise ConfigError(f"noise_level is {noise_level}; give a part of T between 0 and 1.")

    @torch.no_grad()
    def space(corpus: Corpus, query: Query) -> Iterator[Tensor]:
        backbone: Any = corpus.backbone
        t = max(1, int(noise_level * backbone.schedule.length))
        empty = backbone.encode_prompts([""])
        shape = query.latents.shape[1:]
        eps = [standard_normal(corpus.seed, "features", t, i, shape) for i in range(draws)]
        for x0 in query.latents.split(batch):
            times = torch.full((len(x0),), t)
            condition = empty.take([0] * len(x0))
            sums: Tensor | None = None
            for one in eps:
                x_t = backbone.schedule.add_noise(x0, one.expand_as(x0), times)
                with _output_of(backbone.unet.mid_block) as seen:
                    backbone.predict_eps(x_t, times, condition)
                out = seen[0].float().cpu()
                out = out.mean((2, 3)) if pool else out.flatten(1)
                sums = out if sums is None else sums + out
            assert sums is not None
            yield sums / draws

    return space


@contextmanager
def _output_of(module: Any) -> Iterator[list[Tensor]]:
    seen: list[Tensor] = []

    def keep(_module: Any, _args: Any, output: Any) -> None:
        seen.append(output)

    hook = module.register_forward_hook(keep)
    try:
        yield seen
    finally:
        hook.remove()


def picture_features(
    pictures: Mapping[str, Tensor],
    encode: Callable[[Tensor], Tensor] | None = None,
    clip: str = "",
    batch: int = 32,
) -> Space:
    """Features of another network, such as CLIP's; encode: (n, 3, H, W) in [0, 1] -> (n, d).

    pictures: every training picture and query by its key, (3, H, W). clip: without
    `encode`, a folder with a CLIP.
    Raises ConfigError when one is missing.
    """

    @torch.no_grad()
    def space(corpus: Corpus, query: Query) -> Iterator[Tensor]:
        missing = [key for key in query.keys if key not in pictures]
        if missing:
            raise ConfigError(
                f"pictures lacks {len(missing)} of {len(query)} keys, {missing[0]!r} among them; "
                "give every training picture and every query."
            )
        network = encode or clip_features(Path(clip), corpus.backbone.device)
        for start in range(0, len(query), batch):
            some = torch.stack([pictures[key] for key in query.keys[start : start + batch]])
            yield network(some).float().cpu()

    return space


@SCORERS.add()
def latent_prototype() -> Scorer:
    return similarity(latent(), "prototype", name="latent_prototype")


@SCORERS.add()
def latent_knn(k: int = 10) -> Scorer:
    return similarity(latent(), "knn", k, "latent_knn")


@SCORERS.add()
def feature_prototype(**settings: Any) -> Scorer:
    """settings: those of `unet_features`."""
    return similarity(unet_features(**settings), "prototype", name="feature_prototype")


@SCORERS.add()
def feature_knn(k: int = 10, **settings: Any) -> Scorer:
    """settings: those of `unet_features`."""
    return similarity(unet_features(**settings), "knn", k, "feature_knn")


@SCORERS.add(needs=("pictures",))
def picture_prototype(**settings: Any) -> Scorer:
    """settings: those of `picture_features`."""
    return similarity(picture_features(**settings), "prototype", name="picture_prototype")


@SCORERS.add(needs=("pictures",))
def picture_knn(k: int = 10, **settings: Any) -> Scorer:
    """settings: those of `picture_features`."""
    return similarity(picture_features(**settings), "knn", k, "picture_knn")
