"""Agreement with the truth behind noisy retrainings, where the truth is known."""

import numpy as np
import pytest

from guda.bench import truth

QUERIES, GROUPS = 1000, 16


def retrained(noise, seeds=5, seed=0):
    """The truth (I, K), and retrainings of it."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(QUERIES, GROUPS))
    return true, true + noise * rng.normal(size=(seeds, QUERIES, GROUPS))


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_the_truth_agrees_with_itself_however_noisy_retraining_is(noise):
    true, seeds = retrained(noise)
    for scores in (true, 7 * true - 3):
        mean, low, high = truth.with_truth(scores, seeds)
        assert mean == pytest.approx(1, abs=0.04) and low <= mean <= high
    size = truth.size(0.25 * true + 2, seeds)
    assert size.slope[0] == pytest.approx(0.25, rel=0.08)
    assert size.correlation[0] == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_one_retraining_agrees_with_the_truth_as_the_root_of_its_reliability(noise):
    _, seeds = retrained(noise, 6)
    expected = (1 + noise**2) ** -0.5
    one = truth.one_with_truth(seeds)
    assert one[0] == pytest.approx(expected, abs=0.03)
    assert truth.with_truth(seeds[0], seeds[1:])[0] == pytest.approx(expected, abs=0.03)
    size = truth.size(seeds[0], seeds[1:])
    assert size.slope[0] == pytest.approx(1, rel=0.08)
    assert size.correlation[0] == pytest.approx(expected, abs=0.03)


def test_a_method_better_than_one_retraining_shows():
    true, seeds = retrained(1.0)
    better = true + 0.4 * np.random.default_rng(9).normal(size=true.shape)
    method, one = truth.with_truth(better, seeds), truth.one_with_truth(seeds)
    assert method[0] == pytest.approx((1 + 0.4**2) ** -0.5, abs=0.03)
    assert method[1] > one[2]


def test_the_size_holds_however_queries_differ():
    """Every query with its own scale: what seeds share is the truth's variance all the same."""
    true, seeds = retrained(1.0)
    scale = np.exp(np.random.default_rng(3).normal(size=(QUERIES, 1)))
    size = truth.size(0.5 * true * scale, seeds * scale)
    assert size.slope[0] == pytest.approx(0.5, rel=0.1)
    assert size.correlation[0] == pytest.approx(1, abs=0.1)


def test_intervals_cover_the_truth():
    rng = np.random.default_rng(1)
    true = rng.normal(size=(40, 100, GROUPS))
    hits = 0
    for sample in true:
        seeds = sample + rng.normal(size=(5, *sample.shape))
        _, low, high = truth.with_truth(seeds[0], seeds[1:])
        hits += low <= 2**-0.5 <= high
    assert 33 <= hits <= 40


def test_without_agreement_there_is_no_truth_to_agree_with():
    true, seeds = retrained(1.0)
    assert truth.with_truth(true, seeds[:1]) is None and truth.size(true, seeds[:1]) is None
    assert truth.one_with_truth(seeds[:1]) is None and truth.one_size(seeds[:1]) is None
    opposed = np.stack([true, -true])
    assert truth.with_truth(true, opposed) is None and truth.size(true, opposed) is None


def test_spearman_brown_by_hand():
    assert truth.spearman_brown(np.array(0.5), 2) == pytest.approx(2 / 3)
    assert truth.spearman_brown(np.array(0.62), 1) == pytest.approx(0.62)


@pytest.mark.parametrize("count", [2, 5])
def test_one_retraining_has_the_size_of_the_truth(count):
    _, seeds = retrained(1.0, count)
    one = truth.one_size(seeds)
    assert one.slope == (1, 1, 1)
    assert one.correlation[0] == pytest.approx(2**-0.5, abs=0.03)
    assert truth.one_with_truth(seeds)[0] == pytest.approx(2**-0.5, abs=0.03)
