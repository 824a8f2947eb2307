"""Sources of another kind than the style they lean on: against scipy, by simulation, limits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from guda.scoring import kind, standing
from guda.scoring.source import of_source
from guda.scoring.verdict import Outcome

POINTS = 16
STYLES = ("A", "B", "C", "D", "E")


def terms(rng, n, shift=0.0):
    """(n, P) errors that go up and down together, and `shift` more at the finer levels."""
    shared = rng.normal(0, 0.3, (n, 1))
    own = rng.normal(0, 0.2, (n, POINTS)) + shift * np.linspace(0, 1, POINTS)
    return np.exp(2 + shared + own)


def references(rng, n=10):
    return {name: terms(rng, n) for name in STYLES}


def test_one_band_is_a_t_test(monkeypatch):
    """With a single band, T² is the square of a t-statistic with the pooled spread."""
    monkeypatch.setattr(kind, "BANDS", 1)
    rng = np.random.default_rng(0)
    own, those = terms(rng, 12), {"A": terms(rng, 9)}
    bands = [standing.bands(x, 1)[:, 0] for x in (own, those["A"])]
    assert kind.alike(own, "A", those) == pytest.approx(stats.ttest_ind(*bands).pvalue)


def test_sources_of_the_style_s_own_kind_are_kept_as_often_as_it_says():
    rng = np.random.default_rng(1)
    p = np.array([kind.alike(terms(rng, 20), "A", references(rng)) for _ in range(1000)])
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert (p <= kind.LEVEL).mean() <= 0.02


def test_a_look_of_its_own_is_found_and_more_so_in_more_pictures():
    rng = np.random.default_rng(2)

    def found(n, shift):
        told = [kind.alike(terms(rng, n, shift), "A", references(rng)) for _ in range(100)]
        return (np.array(told) <= kind.LEVEL).mean()

    assert found(20, 0.7) > 0.9
    assert found(10, 0.3) < found(30, 0.3)


def test_no_unit_and_no_order_matters():
    rng = np.random.default_rng(3)
    own, those = terms(rng, 15, 0.2), references(rng)
    p = kind.alike(own, "B", those)
    assert kind.alike(own[::-1] * 7, "B", {k: v * 7 for k, v in reversed(those.items())}) == (
        pytest.approx(p)
    )


def test_too_few_pictures_say_nothing():
    rng = np.random.default_rng(4)
    own = terms(rng, 20)
    assert kind.alike(own, "A", {}) is None
    assert kind.alike(own, "A", {"A": terms(rng, kind.FEWEST - 1), "B": terms(rng, 50)}) is None
    assert kind.alike(terms(rng, 10), "A", {"A": terms(rng, 10)}) is None  # 18 degrees of freedom
    flat = {name: np.ones((10, POINTS)) for name in STYLES}
    assert kind.alike(np.ones((20, POINTS)), "A", flat) == 1


def test_only_a_name_is_taken_back():
    rng = np.random.default_rng(5)
    scored = rng.normal(0, 1, (20, 5, 4)) + np.array([3, 0, 0, 0, 0])[:, None]
    named = of_source(STYLES, scored, 0.95)
    assert named.outcome is Outcome.STYLE and named.kind is None
    those = references(rng)
    other = kind.held(named, terms(rng, 20, 2.0), those)
    assert other.outcome is Outcome.NONE and other.kind.pictures == 10 and other.kind.other
    alike = kind.held(named, terms(rng, 20), those)
    assert alike.outcome is Outcome.STYLE and not alike.kind.other
    for source in (dataclasses.replace(named, outcome=Outcome.UNDECIDED), named):
        assert kind.held(source, terms(rng, 20, 2.0), {}) == source
    unsure = dataclasses.replace(named, outcome=Outcome.UNDECIDED)
    assert kind.held(unsure, terms(rng, 20, 2.0), those) == unsure
