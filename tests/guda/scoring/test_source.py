"""Pictures of one source: laws, an oracle, and the shares of wrong names by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from guda.scoring import standing
from guda.scoring.source import FEWEST, NullSets, lead, null_sets, of_source, stands_out
from guda.scoring.verdict import Outcome

GROUPS = ("A", "B", "C", "D", "E")


def scored(rng, n, means, scale=4.0, points=4):
    """(n, K, P) with heavy tails, and what all styles of a picture share, as real ones have."""
    shared = rng.standard_t(4, (n, 1, 1)) * scale / 2
    noise = rng.standard_t(4, (n, len(means), points)) * scale
    return (np.asarray(means)[:, None] + shared + noise) / points


def test_against_scipy():
    given = scored(np.random.default_rng(0), 20, [9, 4, 0, 0, -1])
    told = of_source(GROUPS, given, 0.9)
    delta, part = given.sum(2), standing.parts(given)
    assert told.scores[0].group == "A"
    for s in told.scores:
        one = delta[:, GROUPS.index(s.group)]
        low, high = stats.ttest_1samp(one, 0).confidence_interval(0.9)
        assert (s.delta, s.low, s.high) == pytest.approx((one.mean(), low, high))
        own = part[:, GROUPS.index(s.group)]
        assert s.part == pytest.approx(own.mean())
        if s.group != "A":
            paired = stats.ttest_rel(part[:, 0], own)
            assert s.p == pytest.approx(paired.pvalue)  # two-sided: twice the one-sided
    assert told.scores[0].p == max(s.p for s in told.scores[1:])


def test_the_order_of_pictures_and_styles_changes_nothing():
    rng = np.random.default_rng(1)
    delta, pool = scored(rng, 15, [4, 1, 0, 0, 0]), scored(rng, 80, [0] * 5)
    told = of_source(GROUPS, delta, 0.95, pool)
    for _ in range(3):
        rows, columns = rng.permutation(15), rng.permutation(5)
        names = [GROUPS[k] for k in columns]
        again = of_source(names, delta[rows][:, columns], 0.95, pool[:, columns])
        assert [s.group for s in again.scores] == [s.group for s in told.scores]
        for a, b in zip(again.scores, told.scores, strict=True):
            assert (a.delta, a.low, a.p) == pytest.approx((b.delta, b.low, b.p))
        assert again.outcome == told.outcome
        assert again.stands_out == pytest.approx(told.stands_out)
        assert again.null == told.null


def test_the_same_question_has_the_same_answer():
    rng = np.random.default_rng(2)
    delta, pool = scored(rng, 12, [1] * 5), scored(rng, 60, [0] * 5)
    assert of_source(GROUPS, delta, 0.95, pool, 7) == of_source(GROUPS, delta, 0.95, pool, 7)


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_unit_does_not_matter(scale):
    rng = np.random.default_rng(3)
    delta, pool = scored(rng, 12, [3, 0, 0, 0, 0]), scored(rng, 60, [0] * 5)
    a, b = (
        of_source(GROUPS, d, 0.95, p) for d, p in ((delta, pool), (delta * scale, pool * scale))
    )
    assert a.outcome == b.outcome and a.null == b.null
    assert [s.p for s in a.scores] == pytest.approx([s.p for s in b.scores])


def test_one_picture_too_few_says_nothing():
    rng = np.random.default_rng(4)
    for n, outcome in ((FEWEST - 1, Outcome.UNTOLD), (FEWEST, Outcome.STYLE)):
        told = of_source(GROUPS, scored(rng, n, [99, 0, 0, 0, 0]), 0.95)
        assert told.outcome is outcome and bool(told.scores) == (outcome is Outcome.STYLE)
        assert told.pictures == n


@pytest.mark.parametrize(
    ("means", "outcome"),
    [([20, 0, 0, 0, 0], Outcome.STYLE), ([9, 9, 0, 0, 0], Outcome.UNDECIDED),
     ([-9, -9, -9, -9, -9], Outcome.NONE)],
)  # fmt: skip
def test_what_is_said(means, outcome):
    told = of_source(GROUPS, scored(np.random.default_rng(5), 40, means, 3.0), 0.95)
    assert told.outcome is outcome


def test_sources_that_are_mostly_unlike_anything_are_told_so():
    delta = scored(np.random.default_rng(6), 20, [20, 0, 0, 0, 0])
    outcomes = [of_source(GROUPS, delta, 0.95, unlike=u).outcome for u in (10, 11)]
    assert outcomes == [Outcome.STYLE, Outcome.UNLIKE]


def test_a_pool_smaller_than_the_source_is_not_asked():
    rng = np.random.default_rng(7)
    delta = scored(rng, 20, [20, 0, 0, 0, 0])
    assert of_source(GROUPS, delta, 0.95, scored(rng, 19, [0] * 5)).null is None
    assert of_source(GROUPS, delta, 0.95, scored(rng, 20, [0] * 5)).null is not None


def test_ties_and_constants_have_finite_answers():
    told = of_source(GROUPS, np.zeros((12, 5, 2)), 0.95, np.zeros((30, 5, 2)))
    assert told.outcome is Outcome.NONE and told.null == NullSets(30, 1999, 0, 1.0)
    told = of_source(GROUPS, np.tile([3.0, 1, 1, 1, 1], (12, 1))[..., None], 0.95)
    assert told.outcome is Outcome.STYLE and told.scores[0].p < 1e-9
    rng = np.random.default_rng(11)
    (one,) = of_source(("A",), 1 + rng.normal(0, 0.2, (12, 1, 4)), 0.95).scores
    assert one.p < 0.001


@pytest.mark.parametrize("best", [2, 5])
@pytest.mark.parametrize("n", [10, 40])
def test_a_style_that_is_not_the_best_is_named_at_most_in_five_of_a_hundred(best, n):
    """Of `best` styles that are equally good any name is wrong; tails heavy, variances unequal."""
    rng, runs = np.random.default_rng(best * n), 4000
    scale = np.array([1, 2, 3, 4, 5.0])
    noise = rng.standard_t(4, (runs, n, 5)) * scale + rng.standard_t(4, (runs, n, 1)) * 3
    delta = noise + 20.0 * (np.arange(5) < best)
    named = 2 * stats.t.sf(stands_out(delta), n - 1) <= 0.05
    assert named.mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_unrelated_pictures_are_one_set_like_any_other():
    """p-values of sets from the pool's own kind are uniform, whatever that kind leans on."""
    rng, ps = np.random.default_rng(8), []
    for _ in range(400):
        both = standing.parts(scored(rng, 72, [3, 1, 0, 0, 0]))
        ps.append(null_sets(both[:12], both[12:], 0, sets=99).p)
    share = [(np.array(ps) <= a).mean() for a in (0.05, 0.2, 0.5)]
    for a, found in zip((0.05, 0.2, 0.5), share, strict=True):
        assert abs(found - a) < 3.5 * np.sqrt(a * (1 - a) / 400)


def test_a_true_lean_is_found_and_more_pictures_find_it_more_often():
    rng = np.random.default_rng(9)
    found = {}
    for n in (10, 40):
        told = []
        for _ in range(30):
            delta, pool = scored(rng, n, [3, 0, 0, 0, 0]), scored(rng, 100, [0] * 5)
            told.append(of_source(GROUPS, delta, 0.95, pool, 0).outcome is Outcome.STYLE)
        found[n] = np.mean(told)
    assert found[10] < found[40] and found[40] > 0.9


def test_the_leader_is_the_one_with_the_largest_mean():
    leader, t = lead(scored(np.random.default_rng(10), 30, [0, 1, 9, 2, 0]).sum(2))
    assert leader == 2 and np.isinf(t[2]) and np.isfinite(np.delete(t, 2)).all()
