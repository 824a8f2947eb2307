"""Attribution scorers to compare GUDA with, by name: settings -> Scorer."""

from __future__ import annotations

from collections.abc import Callable

from . import gradient, influence, instance, similarity, simple
from .base import Corpus, Scorer

__all__ = ["SCORERS", "Corpus", "Scorer"]

SCORERS: dict[str, Callable[..., Scorer]] = {
    "random": simple.random,
    "class_label": simple.class_label,
    "latent_prototype": similarity.latent_prototype,
    "latent_knn": similarity.latent_knn,
    "feature_prototype": similarity.feature_prototype,
    "feature_knn": similarity.feature_knn,
    "picture_prototype": similarity.picture_prototype,
    "picture_knn": similarity.picture_knn,
    "grad_dot": gradient.grad_dot,
    "trak": gradient.trak,
    "dtrak": gradient.dtrak,
    "das": gradient.das,
    "ekfac": influence.ekfac,
    "instance": instance.instance,
}
