"""GUDA's scorer: paired ELBO differences of pictures, with and without each group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..config import ElboConfig
from ..diffusion import Backbone, LoraWeights
from ..diffusion.room import Room
from ..steps import Step, Steps
from . import allocation
from .elbo import Points, Query, chunks, noised, weighted_terms


@dataclass(frozen=True)
class Differences:
    """I pictures, K groups, P points; everything in nats (with weighting "kl")."""

    contributions: np.ndarray  # (I, K, P) float64; sums to ELBO(full) - ELBO(without_group)
    maps: Tensor | tuple[Tensor, ...]  # I of (K, h, w) float32; sums to the same
    elbo: np.ndarray  # (I,) the full model's, without its constant parts
    points: Points
    unet_evaluations: int
    full: np.ndarray  # (I, P) float64; the full model's terms, of which the deltas are differences


def score_queries(
    backbone: Backbone,
    loras: Mapping[str, LoraWeights],
    query: Query,
    config: ElboConfig,
    room: Room | None = None,
) -> Steps[Differences]:
    """Differences for every picture and group; yields once per UNet call.

    room: how many noisy pictures go through the UNet at once; by default `config.batch_size`.
    """

    def measure(points: Points) -> Steps[Differences]:
        return differences(backbone, loras, query, points, config, room)

    return (yield from by_schedule(measure, config, backbone.schedule.length))


def by_schedule(
    measure: Callable[[Points], Steps[Differences]], config: ElboConfig, length: int
) -> Steps[Differences]:
    """What `measure` gives at the points of the schedule, after its pilot if it needs one."""
    spent, profile = 0, None
    pilot = allocation.pilot(config, length)
    if pilot is not None:
        first = yield from measure(pilot)
        profile, spent = _profile(first), first.unet_evaluations
    whole = yield from measure(allocation.points(config, length, profile))
    return replace(whole, unet_evaluations=spent + whole.unet_evaluations)


def differences(
    backbone: Backbone,
    loras: Mapping[str, LoraWeights],
    query: Query,
    points: Points,
    config: ElboConfig,
    room: Room | None = None,
) -> Steps[Differences]:
    """The full model's terms once, then each counterfactual's on the same noise."""
    images, groups, n = len(query), len(loras), len(points)
    h, w = query.latents.shape[-2:]
    contributions = np.zeros((images, groups, n))
    maps = torch.zeros(images, groups, h, w)
    at_points = np.zeros((images, n))
    done, total = 0, images * n * (groups + 1)
    room = room or Room(config.batch_size, backbone.device)
    parts = chunks(images, n, query.latents[0].numel())
    for rows in parts:
        work = noised(query.part(rows), points, backbone.schedule, config.seed, config.weighting)
        size = len(range(images)[rows])
        full: list[Tensor] = []
        for terms in weighted_terms(backbone, work, room):
            full.append(terms)
            done += len(terms)
            yield Step("score", done, total, "full model")
        full_terms = torch.cat(full)
        at_points[rows] = full_terms.double().sum((1, 2)).view(size, n).numpy()
        for k, (name, lora) in enumerate(loras.items()):
            with backbone.counterfactual(lora):
                without: list[Tensor] = []
                for terms in weighted_terms(backbone, work, room):
                    without.append(terms)
                    done += len(terms)
                    yield Step("score", done, total, name)
            gap = torch.cat(without).sub_(full_terms).view(size, n, h, w)
            contributions[rows, k] = gap.double().sum((2, 3)).numpy()
            maps[rows, k] = gap.sum(1)
    return Differences(contributions, maps, -at_points.sum(1), points, total, at_points)


def _profile(pilot: Differences) -> allocation.Profile:
    """The root mean square of the pilot's differences per timestep."""
    points = pilot.points
    per_step = pilot.contributions / points.weight.numpy()  # (I, K, P)
    pairs = per_step.reshape(*per_step.shape[:2], -1, 2)
    scale = np.sqrt((pairs**2).mean(axis=(1, 3), keepdims=True)) + 1e-30
    spread = np.sqrt(((pairs / scale.mean(axis=2, keepdims=True)) ** 2).mean(axis=(0, 1, 3)))
    centres = np.array([(first * last) ** 0.5 for first, last in points.strata])
    centres, index = np.unique(centres, return_index=True)
    return centres, spread[index]
