import numpy as np
import pytest
import sklearn.metrics as sklearn_metrics
from scipy import stats

from guda.bench import agreement
from guda.bench.agreement import METRICS

RANKS = ("Top-1", "MRR", "NDCG@3", "RBO", "Spearman")  # see nothing but the two orders


def sample(queries=40, groups=7, seed=0):
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=(queries, groups))
    return reference + rng.normal(size=reference.shape), reference


def ranking(text):
    """(1, K) scores that put the letters of `text` first to last; columns are a, b, c ..."""
    return -np.array([[text.index(letter) for letter in sorted(text)]], dtype=float)


@pytest.mark.parametrize("name", METRICS)
def test_perfect_agreement_is_one(name):
    _, reference = sample()
    assert METRICS[name](reference, reference) == pytest.approx(1)
    assert METRICS[name](3 * reference + 7, reference) == pytest.approx(1)


def test_reversed_scores():
    _, reference = sample(groups=4)
    ideal = 7 + 3 / np.log2(3) + 1 / 2
    expected = {
        "Top-1": 0,
        "MRR": 1 / 4,
        "NDCG@3": (0 + 1 / np.log2(3) + 3 / 2) / ideal,
        # Overlaps at depths 1 to 4: 0, 0, 2 of 3, 4 of 4.
        "RBO": 0.1 * (0.9**2 * 2 / 3 + 0.9**3) + 0.9**4,
        "WPRA": 0,
        "Spearman": -1,
        "Pearson": -1,
    }
    assert list(expected) == list(METRICS)
    for name, value in expected.items():
        assert METRICS[name](-reference, reference) == pytest.approx(value), name


@pytest.mark.parametrize("name", METRICS)
def test_every_query_stands_alone(name):
    scores, reference = sample()
    together = METRICS[name](scores, reference)
    assert together.shape == (40,) and together.dtype == np.float64
    alone = [METRICS[name](scores[i : i + 1], reference[i : i + 1])[0] for i in range(40)]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-14)
    assert METRICS[name](scores[:0], reference[:0]).shape == (0,)


@pytest.mark.parametrize("name", METRICS)
def test_the_order_of_the_groups_changes_nothing(name):
    scores, reference = sample()
    shuffled = np.random.default_rng(1).permutation(7)
    np.testing.assert_allclose(
        METRICS[name](scores[:, shuffled], reference[:, shuffled]),
        METRICS[name](scores, reference),
        rtol=0,
        atol=1e-14,
    )


@pytest.mark.parametrize("name", METRICS)
def test_what_leaves_a_metric_unchanged(name):
    scores, reference = sample()
    expected = METRICS[name](scores, reference)
    np.testing.assert_allclose(METRICS[name](5 * scores - 3, reference), expected, atol=1e-12)
    if name != "Pearson":
        assert np.array_equal(METRICS[name](np.exp(scores), reference), expected)
    if name in RANKS:
        assert np.array_equal(METRICS[name](scores, np.exp(reference)), expected)


def test_ties_fall_in_column_order_on_both_sides():
    flat, rising = np.zeros((1, 4)), np.array([[1.0, 2, 3, 4]])
    assert agreement.top1(flat, flat) == 1
    assert agreement.top1(flat, rising) == 0
    assert agreement.reciprocal_rank(flat, rising) == 1 / 4
    assert (
        agreement.reciprocal_rank(np.array([[1.0, 5, 5, 0]]), np.array([[0, 0, 9.0, 0]])) == 1 / 2
    )
    assert agreement.rbo(flat, flat) == pytest.approx(1)
    assert agreement.ndcg(flat, -rising) == pytest.approx(1)


@pytest.mark.parametrize("k", [1, 3, 7, 50])
def test_ndcg_is_scikit_learns_on_exponential_gains(k):
    from_sklearn = sklearn_metrics.ndcg_score
    scores, reference = sample()
    relevance = stats.rankdata(reference, axis=1) - 1  # K - rank: the best K - 1, the worst 0
    gains = 2.0**relevance - 1
    expected = [from_sklearn(gains[i : i + 1], scores[i : i + 1], k=k) for i in range(40)]
    np.testing.assert_allclose(agreement.ndcg(scores, reference, k), expected, rtol=1e-12)


def test_ndcg_of_a_thousand_and_more_groups_stays_finite():
    scores, reference = sample(queries=2, groups=1500)
    assert np.isfinite(agreement.ndcg(scores, reference)).all()
    assert agreement.ndcg(reference, reference) == pytest.approx(1)


@pytest.mark.parametrize("p", [0.1, 0.9, 0.98])
def test_rbo_is_the_sum_over_prefixes(p):
    """Webber et al. 2010: the overlap of the two sets at each depth, the last carried on for ever.

    Depths beyond K keep the agreement X_K / K = 1 and weigh (1 - p) p^(d - 1) as all others do.
    """
    scores, reference = sample(queries=10, groups=16)
    expected = []
    for s, r in zip((-scores).argsort(1).tolist(), (-reference).argsort(1).tolist(), strict=True):
        overlap = [len({*s[:d]} & {*r[:d]}) / min(d, 16) for d in range(1, 2000)]
        expected.append(sum((1 - p) * p**i * a for i, a in enumerate(overlap)))
    np.testing.assert_allclose(agreement.rbo(scores, reference, p), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("other", "p", "expected"),
    [
        ("erqalcnuhjvoxgiybskzdtmwf", 0.5, 0.042585),
        ("erqalcnuhjvoxgiybskzdtmwf", 0.9, 0.408634),
        ("erqalcnuhjvoxgiybskzdtmwf", 0.99, 0.897491),
        ("agmtrsyhfidnjobwzkxvucqel", 0.1, 0.948245),
    ],
)
def test_rbo_agrees_with_webbers_own_program(other, p, expected):
    """Against the alphabet; his output as kept in github.com/mpetri/rbo, permute_abc.json."""
    found = agreement.rbo(ranking(other), ranking("".join(sorted(other))), p)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ("abcde", 1),
        # Only depth 1 disagrees, and it weighs 1 - p: p is left. Also github.com/dlukes/rbo.
        ("bacde", 0.9),
        # X_d / d = 0, 1/2, 1, 1, 1 loses 1 - p and half of (1 - p) p: 1 - 0.1 - 0.045.
        ("cabde", 1 - 0.1 * (1 + 2 / 4 * 0.9)),
        # The last two swapped: X_4 / 4 = 3/4 loses a quarter of (1 - p) p^3.
        ("abced", 1 - 0.1 * 0.9**3 / 4),
    ],
)
def test_rbo_by_hand(other, expected):
    assert agreement.rbo(ranking(other), ranking("abcde"), 0.9) == pytest.approx(expected)
    assert agreement.rbo(ranking("abcde"), ranking(other), 0.9) == pytest.approx(expected)


def test_wpra_by_hand():
    reference = np.array([[10.0, 6, 3, 1, 0]])
    # Pairs with one of the first two: 4 7 9 10 and 3 5 6, together 44. Swapping the first two
    # loses 4; swapping the last two loses nothing, for m = 2 does not look at them.
    assert agreement.wpra(np.array([[4.0, 5, 3, 2, 1]]), reference, 2) == pytest.approx(40 / 44)
    assert agreement.wpra(np.array([[5.0, 4, 3, 1, 2]]), reference, 2) == pytest.approx(1)
    # All pairs: 44 + 2 3 1 = 50, of which the last swap loses 1. m beyond K is all pairs too.
    assert agreement.wpra(np.array([[5.0, 4, 3, 1, 2]]), reference, 5) == pytest.approx(49 / 50)
    assert agreement.wpra(np.array([[5.0, 4, 3, 1, 2]]), reference, 99) == pytest.approx(49 / 50)
    # A tie between the first two scores is not an agreement; nothing to order is not one either.
    assert agreement.wpra(np.array([[5.0, 5, 3, 2, 1]]), reference, 2) == pytest.approx(40 / 44)
    assert agreement.wpra(np.zeros((1, 5)), reference) == 0
    assert agreement.wpra(reference, np.full((1, 5), 0.1)) == 0


def test_correlations_are_scipys():
    scores, reference = sample()
    for x, y in ((scores, reference), (scores.round(), reference.round())):  # without and with ties
        pairs = list(zip(x, y, strict=True))
        ranks = [stats.spearmanr(a, b).statistic for a, b in pairs]
        values = [stats.pearsonr(a, b).statistic for a, b in pairs]
        np.testing.assert_allclose(agreement.spearman(x, y), ranks, atol=1e-14)
        np.testing.assert_allclose(agreement.pearson(x, y), values, atol=1e-14)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e-300, 1e300])
@pytest.mark.parametrize("metric", [agreement.spearman, agreement.pearson])
def test_a_constant_row_correlates_with_nothing(metric, value):
    _, reference = sample(queries=3)
    scores = reference.copy()
    scores[1] = value
    assert metric(scores, reference) == pytest.approx([1, 0, 1])
    assert metric(reference, scores) == pytest.approx([1, 0, 1])
    assert metric(scores, scores)[1] == 0


def test_pearson_ignores_each_querys_offset_and_scale():
    scores, reference = sample()
    moved = reference * np.geomspace(1e-6, 1e6, 40)[:, None] + np.arange(40)[:, None]
    np.testing.assert_allclose(
        agreement.pearson(scores, moved), agreement.pearson(scores, reference), atol=1e-7
    )


def test_others_leaves_the_named_group_out():
    scores, reference = sample()
    named = np.arange(40) % 8 - 1
    for i, value in enumerate(agreement.others(scores, reference, named)):
        columns = [k for k in range(7) if k != named[i]]
        expected = stats.spearmanr(scores[i, columns], reference[i, columns]).statistic
        assert value == pytest.approx(expected)
    spoilt = scores.copy()
    np.put_along_axis(spoilt, named.clip(0)[:, None], 99, 1)
    away = named >= 0
    assert np.array_equal(
        agreement.others(spoilt, reference, named)[away],
        agreement.others(scores, reference, named)[away],
    )
    none = np.full(40, -1)
    assert np.array_equal(
        agreement.others(scores, reference, none), agreement.spearman(scores, reference)
    )


def test_bootstrap_states_the_mean_and_depends_on_the_seed_alone():
    values = np.random.default_rng(3).normal(size=50)
    before = repr(np.random.get_state())
    mean, low, high = agreement.bootstrap(values)
    assert mean == values.mean() and low < mean < high
    assert agreement.bootstrap(values) == (mean, low, high)
    assert agreement.bootstrap(values, seed=1) != (mean, low, high)
    assert repr(np.random.get_state()) == before
    _, low_90, high_90 = agreement.bootstrap(values, confidence=0.9)
    assert low < low_90 < high_90 < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 50**0.5, rel=0.1)


def test_bootstrap_without_spread_is_a_point():
    assert agreement.bootstrap(np.array([0.4])) == (0.4, 0.4, 0.4)
    assert agreement.bootstrap(np.ones(9)) == (1, 1, 1)
    assert agreement.paired_bootstrap(np.arange(3) + 1, np.arange(3)) == (1, 1, 1)


def test_bootstrap_covers_the_truth():
    rng = np.random.default_rng(0)
    draws = rng.random((300, 60)) < 0.3  # as Top-1 is, 0 or 1
    ends = [agreement.bootstrap(d, resamples=400, seed=i)[1:] for i, d in enumerate(draws)]
    assert 0.9 <= np.mean([low <= 0.3 <= high for low, high in ends]) <= 0.98


def test_pairing_takes_the_queries_own_spread_away():
    rng = np.random.default_rng(0)
    b = rng.normal(size=80)
    a = b + 0.1 + 0.05 * rng.normal(size=80)
    mean, low, high = agreement.paired_bootstrap(a, b)
    assert (mean, low, high) == agreement.bootstrap(a - b)
    assert 0.05 < low < high < 0.15
    assert high - low < (agreement.bootstrap(a)[2] - agreement.bootstrap(a)[1]) / 5


@pytest.mark.parametrize("name", METRICS)
def test_bad_arrays_are_refused(name):
    metric, good = METRICS[name], np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"scores \(4, 3\) and reference \(4, 2\).*same shape"):
        metric(good, np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"scores \(3,\) and reference \(3,\).*queries, groups"):
        metric(good[0], good[0])
    with pytest.raises(ValueError, match=r"\(4, 1\): a ranking needs two groups"):
        metric(good[:, :1], good[:, :1])
    for value in (np.nan, np.inf):
        bad = good.copy()
        bad[2, 1] = value
        with pytest.raises(ValueError, match=rf"scores \(4, 3\) holds {value} at \(2, 1\)"):
            metric(bad, good)
        with pytest.raises(ValueError, match=rf"reference \(4, 3\) holds {value} at \(2, 1\)"):
            metric(good, bad)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: agreement.ndcg(s, s, k=0), "k = 0"),
        (lambda s: agreement.wpra(s, s, m=0), "m = 0"),
        (lambda s: agreement.rbo(s, s, p=1), "p = 1"),
        (lambda s: agreement.others(s, s, np.zeros(3, int)), r"named \(3,\).*\(4,\)"),
        (lambda s: agreement.others(s, s, np.zeros(4)), "float64.*one integer per query"),
        (lambda s: agreement.others(s, s, np.full(4, 3)), "from 3 to 3.*0 to 2"),
        (lambda s: agreement.others(s, s, np.full(4, -2)), "from -2 to -2"),
        (lambda s: agreement.others(s[:, :2], s[:, :2], np.zeros(4, int)), "two groups or more"),
        (lambda s: agreement.bootstrap(s), r"values \(4, 3\)"),
        (lambda s: agreement.bootstrap(s[:0, 0]), r"values \(0,\).*at least one"),
        (lambda s: agreement.bootstrap(s[0] + np.nan), r"values \(3,\) holds nan at \(0,\)"),
        (lambda s: agreement.paired_bootstrap(s[0], s[:, 0]), r"a \(3,\) and b \(4,\)"),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((4, 3)))
