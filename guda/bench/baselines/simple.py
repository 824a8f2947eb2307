"""Scorers that hardly look at the model: chance, and "which group does the picture look like?"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ...diffusion.noise import generator
from ...errors import ConfigError
from ...scoring.elbo import Query
from ...steps import Step, Steps
from .base import SCORERS, Corpus, Scorer, need
from .direct import lost


@SCORERS.add()
def random() -> Scorer:
    """Uniform in [0, 1), of (seed, query, group) alone."""

    def score(corpus: Corpus, query: Query) -> Steps[np.ndarray]:
        yield Step("baseline", 1, 1, "random")
        return np.array(
            [
                [
                    torch.rand((), generator=generator("random", corpus.seed, key, name)).item()
                    for name in corpus.groups
                ]
                for key in query.keys
            ]
        )

    return score


@SCORERS.add()
def class_label(classifier: str = "svm", strength: float = 1.0, as_delta: bool = False) -> Scorer:
    """log p(group | picture) of a scikit-learn classifier on the standardized latents.

    classifier: a name of CLASSIFIERS. strength: scikit-learn's C, the inverse regularization.
    as_delta: -log(1 - p) instead, the scale of an ideal model's delta.
    """
    if classifier not in CLASSIFIERS:
        raise ConfigError(f"classifier is {classifier!r}; choose one of: {', '.join(CLASSIFIERS)}.")

    def score(corpus: Corpus, query: Query) -> Steps[np.ndarray]:
        pipeline = need("sklearn.pipeline", "scikit-learn")
        preprocessing = need("sklearn.preprocessing", "scikit-learn")
        model, log_probabilities = CLASSIFIERS[classifier](strength)
        fitted = pipeline.make_pipeline(preprocessing.StandardScaler(), model)
        fitted.fit(corpus.whole().latents.flatten(1).double().numpy(), corpus.labels())
        yield Step("baseline", 1, 2, "class_label")
        scores = log_probabilities(fitted, query.latents.flatten(1).double().numpy())
        yield Step("baseline", 2, 2, "class_label")
        return lost(scores) if as_delta else scores

    return score


def _logistic(strength: float) -> tuple[Any, Callable[[Any, np.ndarray], np.ndarray]]:
    linear = need("sklearn.linear_model", "scikit-learn")
    model = linear.LogisticRegression(C=strength, max_iter=2000)
    return model, lambda fitted, x: fitted.predict_log_proba(x)


def _svm(strength: float) -> tuple[Any, Callable[[Any, np.ndarray], np.ndarray]]:
    """One SVM per group against the rest, whose margins pass for logits."""
    svm = need("sklearn.svm", "scikit-learn")
    multiclass = need("sklearn.multiclass", "scikit-learn")
    model = multiclass.OneVsRestClassifier(svm.SVC(C=strength))

    def log_probabilities(fitted: Any, x: np.ndarray) -> np.ndarray:
        margins = fitted.decision_function(x)
        if margins.ndim == 1:  # two groups share one SVM
            margins = np.stack([-margins, margins], 1)
        return margins - np.log(np.exp(margins).sum(1, keepdims=True))

    return model, log_probabilities


CLASSIFIERS = {"svm": _svm, "logistic": _logistic}
