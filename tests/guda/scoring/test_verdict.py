import numpy as np
import pytest
from scipy import stats

from guda.scoring.verdict import ImageScores, Outcome, interval, score


def test_one_stratum_is_the_textbook_two_sample_interval():
    """With one stratum the sum is twice the mean of two draws: df = 1, se = |a - b|."""
    total, stderr, half = interval(np.array([[3.0, 5.0]]), 0.95)
    assert total[0] == 8 and stderr[0] == 2
    assert half[0] == pytest.approx(stats.t.ppf(0.975, 1) * 2)
    low, high = stats.t.interval(0.95, 1, loc=4, scale=np.std([3, 5], ddof=1) / np.sqrt(2))
    assert (8 - half[0], 8 + half[0]) == pytest.approx((2 * low, 2 * high))


def test_no_spread_gives_a_point():
    total, stderr, half = interval(np.full((2, 8), 0.5), 0.95)
    assert total.tolist() == [4, 4] and not stderr.any() and not half.any()


def clear(values, spread=0.001):
    """Contributions of one group per value, with a small known disagreement between draws."""
    rows = np.array(values)[:, None] / 20 + np.zeros(20)
    rows[:, ::2] += spread
    rows[:, 1::2] -= spread
    return rows


def test_scores_are_ranked_and_shared():
    scores, outcome = score(["a", "b", "c"], clear([1.0, 4.0, -2.0]), 0.95)
    assert [s.group for s in scores] == ["b", "a", "c"]
    assert [s.rank for s in scores] == [1, 2, 3]
    assert [s.share for s in scores] == pytest.approx([0.8, 0.2, 0.0])
    assert all(s.low < s.delta < s.high for s in scores)
    assert outcome == Outcome.STYLE
    assert ImageScores("picture", "", outcome, scores, 0.0).verdict == "b"


def test_overlapping_leaders_are_undecided():
    assert score(["a", "b"], clear([4.0, 4.001]), 0.95)[1] == Outcome.UNDECIDED


def test_nothing_above_zero_is_none():
    assert score(["a", "b"], clear([-1.0, 0.0]), 0.95)[1] == Outcome.NONE
    assert score(["a", "b"], np.zeros((2, 8)), 0.95)[1] == Outcome.NONE


@pytest.mark.parametrize(
    "name", ["undecided", "None of these", "Un\u200bdecided!", "none-of-these"]
)
def test_a_style_s_name_is_no_verdict(name):
    scores, outcome = score([name, "b"], clear([4.0, 1.0]), 0.95)
    assert outcome == Outcome.STYLE and scores[0].group == name
    assert ImageScores("picture", "", outcome, scores, 0.0).verdict == f'the style "{name}"'
    ordinary = score(["undecided art", "b"], clear([4.0, 1.0]), 0.95)[0]
    assert ImageScores("picture", "", outcome, ordinary, 0.0).verdict == "undecided art"


def test_ties_do_not_depend_on_the_order_of_groups():
    forward, _ = score(["a", "b"], np.ones((2, 4)), 0.95)
    backward, _ = score(["b", "a"], np.ones((2, 4)), 0.95)
    assert forward == backward
