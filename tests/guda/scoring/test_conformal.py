"""Cuts and p-values among null pictures, against scipy, by simulation and on mixtures."""

import numpy as np
import pytest
from scipy import stats

from guda.scoring import conformal
from guda.scoring.conformal import as_large, benjamini_hochberg, largest_rank, p_values


@pytest.mark.parametrize(("n", "rank"), [(44, 0), (45, 1), (100, 2), (200, 6), (400, 15)])
def test_the_ranks_of_the_usual_pools(n, rank):
    assert largest_rank(n) == rank
    assert (conformal.smallest_pool() <= n) == bool(rank)


@pytest.mark.parametrize("n", [45, 60, 137, 200, 1000])
def test_the_rank_is_the_largest_that_holds(n):
    """The share of null pictures beyond the r-th largest is Beta(r, n + 1 - r)."""

    def holds(r):
        return stats.beta.cdf(0.05, r, n + 1 - r) >= 0.9

    r = largest_rank(n)
    assert holds(r) and not holds(r + 1)


def test_a_larger_pool_names_what_lies_just_beyond_the_cut_of_a_small_one():
    assert conformal.pool_that_names(0.05, 60) == 0  # no finite pool is sure enough of 5 %
    assert conformal.pool_that_names(1 / 201, 200) == 250
    for p in (0.02, 0.03, 0.04):
        size = conformal.pool_that_names(p, 60)
        assert size > 60 and p * (size + 1) <= largest_rank(size)
        assert p * (size - 49) > largest_rank(size - 50)


def test_no_pool_is_no_rank():
    assert largest_rank(0) == 0 and p_values(np.zeros(0), np.ones(2)).tolist() == [1, 1]


@pytest.mark.parametrize("n", [60, 200])
def test_the_cut_is_exact_by_simulation(n):
    """Of many pools, the share whose cut lets through more than 5 % is at most 10 %, and no less
    than what the next rank's excess makes it."""
    rng, pools, r = np.random.default_rng(n), 4000, largest_rank(n)
    null = np.sort(rng.uniform(size=(pools, n)), axis=1)
    beyond = 1 - null[:, -r]  # the share of uniform queries that would be named
    failed = (beyond > 0.05).mean()
    expected = 1 - stats.beta.cdf(0.05, r, n + 1 - r)
    assert failed == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) / pools))
    assert expected <= 0.1
    assert beyond.mean() == pytest.approx(r / (n + 1), rel=0.05)  # what is expected to be wrong


def test_p_values_of_null_queries_are_uniform():
    rng = np.random.default_rng(1)
    p = np.array([p_values(rng.gumbel(size=99), rng.gumbel(size=1))[0] for _ in range(3000)])
    assert stats.kstest(p, stats.randint(1, 101).cdf, args=()).pvalue > 0.01 or (
        stats.chisquare(np.histogram(p, np.arange(0.005, 1.02, 0.1))[0][:10]).pvalue > 0.01
    )
    for a in (0.01, 0.05, 0.1, 0.5):
        assert (p <= a).mean() <= a + 3 * np.sqrt(a * (1 - a) / len(p))


def test_ties_and_what_is_no_number_count_against_a_picture():
    null = np.array([3.0, 1.0, 2.0, 2.0])
    assert as_large(null, np.array([2.0, 2.5, 9.0, np.nan])).tolist() == [3, 1, 0, 4]
    assert as_large(np.full(4, -np.inf), np.array([-np.inf, 0.0])).tolist() == [4, 0]
    assert p_values(null, np.array([9.0, np.nan])).tolist() == [0.2, 1.0]


def test_benjamini_hochberg_is_scipy_s():
    p = np.random.default_rng(2).uniform(size=57) ** 2
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))
    assert benjamini_hochberg(np.zeros(0)).tolist() == []


def test_wrong_names_in_a_mixture_stay_below_the_level():
    """30 of 100 pictures stand out; all are held against one pool of 400."""
    rng, wrong, named = np.random.default_rng(3), [], []
    truth = np.arange(100) < 30
    for _ in range(300):
        p = p_values(rng.normal(size=400), rng.normal(size=100) + 3.5 * truth)
        taken = benjamini_hochberg(p) <= 0.1
        wrong.append((taken & ~truth).sum() / max(1, taken.sum()))
        named.append((taken & truth).sum() / 30)
    assert np.mean(wrong) <= 0.1 + 3 * np.std(wrong) / np.sqrt(300)
    assert np.mean(named) > 0.5


def test_strength_has_three_words():
    words = [conformal.strength(p) for p in (0.004, 0.01, 0.02, 0.05, 0.06, 1.0)]
    assert words == ["strong", "strong", "moderate", "moderate", "weak", "weak"]
