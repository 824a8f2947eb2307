import numpy as np
import pytest
import torch

from guda.config import ElboConfig
from guda.scoring import allocation
from guda.scoring.verdict import interval

LENGTH = 1000


def curve(t):
    """A term that falls with t as KL terms do."""
    return 40.0 / t + 0.5 * np.exp(-(((t - 300) / 80) ** 2))


def all_points(n, seed):
    t = np.array([1, 3, 10, 40, 150, 500, 900.0])
    return {
        "log": allocation.log(n, LENGTH, seed),
        "uniform": allocation.uniform(n, LENGTH, seed),
        "importance": allocation.from_profile(t, curve(t), n, LENGTH, seed),
    }


@pytest.mark.parametrize("n", [4, 6, 24, 64, 500])
@pytest.mark.parametrize("name", ["log", "uniform", "importance"])
def test_points_cover_every_timestep_once(name, n):
    points = all_points(n, 3)[name]
    assert len(points) == n
    assert points.t.min() >= 1 and points.t.max() <= LENGTH - 1
    assert points.weight.sum().item() == pytest.approx(LENGTH - 1)
    assert len({*zip(points.t.tolist(), points.draw.tolist(), strict=True)}) == n
    for (first, last), pair in zip(points.strata, points.t.view(-1, 2).tolist(), strict=True):
        assert all(first <= t <= last for t in pair)


def test_more_strata_than_timesteps_still_cover_each_once():
    points = allocation.log(60, 12, 0)
    assert points.weight.sum().item() == pytest.approx(11)
    assert {*points.t.tolist()} == set(range(1, 12))


@pytest.mark.parametrize("name", ["log", "importance"])
def test_estimates_are_unbiased_and_their_errors_honest(name):
    """Over many seeds: mean = the full sum, and the stated standard error = the spread seen."""
    exact = curve(np.arange(1, LENGTH)).sum()
    totals, errors, inside = [], [], []
    for seed in range(400):
        points = all_points(24, seed)[name]
        terms = (points.weight * torch.from_numpy(curve(points.t.numpy()))).numpy()
        noise = np.random.default_rng(seed).normal(size=len(terms)) * 0.3
        total, stderr, half = interval((terms * (1 + noise))[None], 0.95)
        totals.append(total[0])
        errors.append(stderr[0])
        inside.append(abs(total[0] - exact) <= half[0])
    spread = np.std(totals)
    assert np.mean(totals) == pytest.approx(exact, abs=4 * spread / 20)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(spread, rel=0.15)
    assert 0.9 <= np.mean(inside) <= 0.99


def test_importance_spends_its_evaluations_where_the_spread_is():
    t = np.array([1, 10, 100, 300, 500, 999.0])
    spread = np.array([0, 0, 0, 5.0, 0, 0]) + 1e-3
    points = allocation.from_profile(t, spread, 40, LENGTH, 0)
    near = ((points.t > 100) & (points.t < 500)).float().mean()
    assert near > 0.6 > ((allocation.log(40, LENGTH, 0).t > 100).float().mean())


def test_points_depend_on_the_seed_alone():
    a, b = (allocation.points(ElboConfig(seed=s), LENGTH) for s in (1, 1))
    assert torch.equal(a.t, b.t)
    assert not torch.equal(a.t, allocation.points(ElboConfig(seed=2), LENGTH).t)
