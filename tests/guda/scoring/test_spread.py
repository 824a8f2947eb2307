"""The seeds' part of an interval: measured, assumed, and none where there is no seed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from guda.scoring.source import of_source
from guda.scoring.spread import ASSUMED, COMMON, SeedSpread
from guda.scoring.verdict import Outcome, score

GROUPS = ("a", "b", "c", "d")
DELTAS = np.array([8.0, 5.0, 1.0, -1.0])
RMS = math.sqrt(np.square(DELTAS).mean())


def contributions(noise: float = 0.1) -> np.ndarray:
    """(K, 16): eight strata of two draws each, which differ by `noise`."""
    halves = np.repeat(DELTAS[:, None] / 16, 16, 1)
    return halves + noise / 2 * np.tile([1, -1], 8)


def test_another_seed_widens_the_interval_and_leaves_the_rest():
    alone, _ = score(GROUPS, contributions(), 0.95)
    both, _ = score(GROUPS, contributions(), 0.95, SeedSpread({}, 1))
    for a, b in zip(alone, both, strict=True):
        assert (a.group, a.delta, a.stderr, a.share) == (b.group, b.delta, b.stderr, b.share)
        assert a.seed_stderr is None and b.seed_stderr == pytest.approx(ASSUMED * RMS)
        half = math.hypot((a.high - a.low) / 2, 1.959964 * ASSUMED * RMS)
        assert (b.low, b.high) == pytest.approx((b.delta - half, b.delta + half))


def test_repeats_narrow_it_and_what_was_measured_counts():
    spread = SeedSpread({"a": 0.1}, 4)
    assert spread.of("a") == pytest.approx(0.05) and spread.of("b") == pytest.approx(ASSUMED / 2)
    assert not spread.assumed(GROUPS) and spread.assumed(("b", "c"))
    scores, _ = score(GROUPS, contributions(), 0.95, spread)
    own = {s.group: s.seed_stderr for s in scores}
    assert own["a"] == pytest.approx(0.05 * RMS) and own["b"] == pytest.approx(ASSUMED / 2 * RMS)


def test_it_enters_the_verdict():
    leader = {None: Outcome.STYLE, 0.05: Outcome.STYLE, 0.5: Outcome.UNDECIDED, 2.0: Outcome.NONE}
    for share, outcome in leader.items():
        spread = None if share is None else SeedSpread(dict.fromkeys(GROUPS, share))
        assert score(GROUPS, contributions(), 0.95, spread)[1] is outcome, share


def test_an_untouched_model_has_no_spread():
    scores, outcome = score(GROUPS, np.zeros((4, 16)), 0.95, SeedSpread({}))
    assert outcome is Outcome.NONE
    assert all(s.delta == s.low == s.high == s.seed_stderr == 0 for s in scores)


def test_intervals_with_it_cover_what_another_seed_gives():
    """Seeds drawn as the rule has it; the interval of one covers the truth in 95 of 100 cases."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 4, (4000, 6))
    rms = np.sqrt(np.square(truth).mean(1, keepdims=True))
    seen = truth + 0.2 * rms * rng.normal(size=truth.shape)
    spread, names, inside = SeedSpread(dict.fromkeys("abcdef", 0.2)), tuple("abcdef"), []
    for real, one in zip(truth, seen, strict=True):
        scores, _ = score(names, np.repeat(one[:, None] / 8, 8, 1), 0.95, spread)
        inside += [s.low <= real[names.index(s.group)] <= s.high for s in scores]
    assert 0.94 < np.mean(inside) < 0.965


def test_over_a_source_it_widens_by_what_its_pictures_have_in_common():
    rng = np.random.default_rng(1)
    given = rng.normal(0, 1, (12, 4, 8)) + DELTAS[:, None] / 8
    alone, both = (of_source(GROUPS, given, 0.95, spread=s) for s in (None, SeedSpread({}, 4)))
    rms = np.sqrt(np.square(given.sum(2)).mean(1)).mean()
    for a, b in zip(alone.scores, both.scores, strict=True):
        assert (a.group, a.delta, a.stderr, a.part, a.p) == (
            b.group, b.delta, b.stderr, b.part, b.p,
        )  # fmt: skip
        assert a.seed_stderr is None
        assert b.seed_stderr == pytest.approx(ASSUMED / 2 * COMMON * rms)
        half = math.hypot((a.high - a.low) / 2, 1.959964 * ASSUMED / 2 * COMMON * rms)
        assert (b.low, b.high) == pytest.approx((b.delta - half, b.delta + half))
    own = of_source(GROUPS, given, 0.95, spread=SeedSpread({"a": 0.0}))
    (a,) = (s for s in own.scores if s.group == "a")
    (b,) = (s for s in alone.scores if s.group == "a")
    assert a.seed_stderr == 0 and (a.low, a.high) == (b.low, b.high)


def test_the_interval_of_a_source_covers_what_another_seed_gives():
    """Seeds move all its pictures by a part in common, and each by one of its own."""
    rng, spread, inside = np.random.default_rng(2), SeedSpread(dict.fromkeys("abcdef", 0.3)), []
    for _ in range(600):
        mean = rng.normal(0, 4, 6)
        truth = mean + rng.normal(0, 2, (16, 6))
        size = 0.3 * np.sqrt(np.square(truth).mean(1, keepdims=True))
        seen = truth + size * (COMMON * rng.normal(size=6) + rng.normal(size=(16, 6)))
        told = of_source(tuple("abcdef"), seen[..., None], 0.95, spread=spread)
        inside += [s.low <= mean["abcdef".index(s.group)] <= s.high for s in told.scores]
    assert 0.93 < np.mean(inside) < 0.98
