"""Models that answer with the clean picture: the derivation's laws, and an independent sum."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from guda.config import ElboConfig
from guda.diffusion.noise import standard_normal
from guda.errors import ModelError
from guda.scoring import allocation
from guda.scoring.denoiser import LEAST_NOISE, Levels, predicted_eps
from guda.scoring.direct import Prompts, score_directly
from guda.scoring.elbo import Query
from guda.steps import drain

SHAPE = (3, 6, 4)


def flow(length: int = 1000, shift: float = 3.0) -> Levels:
    """Rectified flow: alpha = 1 - sigma, the last level pure noise."""
    t = torch.arange(1, length + 1).double() / length
    sigma = shift * t / (1 + (shift - 1) * t)
    return Levels.of(1 - sigma, sigma, "flow")


def k_diffusion(length: int = 1000) -> Levels:
    sigma = torch.logspace(math.log10(0.03), math.log10(15), length).double()
    return Levels.of(torch.ones(length), sigma, "k")


LEVELS = {"flow": flow, "k": k_diffusion}


class Rows(tuple):
    def take(self, index):
        return Rows(self[int(i)] for i in index)


class Gaussians:
    """The best denoiser of pictures N(mean, spread^2), whose mean the prompt names."""

    name, device = "gaussians", torch.device("cpu")
    spread = 0.7

    def __init__(self, levels: Levels):
        self.levels, self.schedule, self.seen = levels, levels.schedule, []

    def encode_prompts(self, prompts):
        return Rows(prompts)

    def mean(self, prompt: str) -> torch.Tensor:
        return 0.4 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(len(prompt)))

    def denoise(self, x, t, conditions):
        self.seen.append((x, t))
        alpha, sigma = self.levels.at(t, x)
        mean = torch.stack([self.mean(p) for p in conditions])
        s2 = self.spread**2
        return (sigma**2 * mean + alpha * s2 * x) / (sigma**2 + alpha**2 * s2)

    def predict_eps(self, x_t, t, condition):
        return predicted_eps(self, x_t, t, condition)


def score(model: Gaussians, x0: torch.Tensor, styles=("a", "bb"), evaluations: int = 16):
    config = ElboConfig(evaluations=evaluations, mixture="uniform")
    prompts = Prompts((styles,), ("given",))
    query = Query(x0[None], Rows(("given",)), ("key",))
    return config, drain(score_directly(model, prompts, query, config))


@pytest.mark.parametrize("kind", LEVELS)
def test_a_delta_is_the_sum_of_snr_differences_and_errors(kind):
    """1/2 (SNR(s) - SNR(t)) |x0 - x0_hat|^2 on x = alpha x0 + sigma eps, without the pack's sums:
    of two styles delta_a - delta_b is the error of b's prompt minus that of a's."""
    model = Gaussians(LEVELS[kind]())
    x0 = torch.randn(SHAPE, generator=torch.Generator().manual_seed(5))
    config, found = score(model, x0)
    points = allocation.points(config, model.schedule.length)
    alpha, sigma = model.levels.alpha, model.levels.sigma
    want = 0.0
    for t, draw, weight in zip(points.t, points.draw, points.weight, strict=True):
        eps = standard_normal(0, "key", int(t), int(draw), SHAPE)
        x = (alpha[t] * x0 + sigma[t] * eps).float()
        snr = [(alpha[i] / sigma[i]) ** 2 for i in (t - 1, t)]
        errors = [
            (x0 - model.denoise(x[None], t[None], (p,))[0]).double().square().sum()
            for p in ("a", "bb")
        ]
        want += float(weight * (snr[0] - snr[1]) / 2 * (errors[1] - errors[0]))
    delta = found.contributions[0].sum(-1)
    np.testing.assert_allclose(delta[0] - delta[1], want, rtol=1e-4)
    assert abs(want) > 0.1


@pytest.mark.parametrize("kind", LEVELS)
def test_the_model_is_asked_on_its_own_noisy_pictures(kind):
    model = Gaussians(LEVELS[kind]())
    x0 = torch.randn(SHAPE, generator=torch.Generator().manual_seed(5))
    score(model, x0, evaluations=4)
    x, t = (torch.cat(part) for part in zip(*model.seen, strict=True))
    alpha, sigma = model.levels.at(t, x)
    draws = {int(v): standard_normal(0, "key", int(v), 0, SHAPE) for v in t}
    eps = torch.stack([draws[int(v)] for v in t])
    torch.testing.assert_close(x, alpha * x0 + sigma * eps, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", LEVELS)
def test_nats_are_those_of_the_likelihood(kind):
    """Of the best denoisers the terms add up to log p_a(x0) - log p_b(x0)."""
    model = Gaussians(LEVELS[kind](4000))
    x0 = model.mean("a") + model.spread * torch.randn(
        SHAPE, generator=torch.Generator().manual_seed(5)
    )
    _, found = score(model, x0, evaluations=8000)
    delta = found.contributions[0].sum(-1)
    gaps = [(x0 - model.mean(p)).double().square().sum() / 2 / model.spread**2 for p in ("a", "bb")]
    assert abs(gaps[1] - gaps[0]) > 5
    np.testing.assert_allclose(delta[0] - delta[1], gaps[1] - gaps[0], rtol=0.03)


def test_levels_without_a_picture_and_below_16_bits_do_not_count():
    levels = flow(10_000)
    assert (levels.alpha / levels.sigma).max() <= 1 / LEAST_NOISE
    assert levels.snr[-1] > 0 and 9000 < len(levels.alpha) < 10_000
    torch.testing.assert_close(levels.schedule.alpha_bar, levels.snr / (1 + levels.snr))


@pytest.mark.parametrize(
    ("sigma", "words"),
    [
        (torch.tensor([0.5, 0.2, 0.7, 0.8]), "4 usable noise levels in no falling order"),
        (torch.tensor([1.0, 1.0]), "0 usable noise levels"),
        (torch.tensor([0.1, float("nan"), 0.3]), "the model m are not finite"),
    ],
)
def test_levels_that_make_no_schedule_are_refused(sigma, words):
    with pytest.raises(ModelError, match=words):
        Levels.of(1 - sigma, sigma, "m")
