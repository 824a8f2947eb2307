"""Null pools: verdicts from made-up scores with a known truth, and the file."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from guda.errors import CounterfactualError
from guda.scoring import standing
from guda.scoring.conformal import LEVEL
from guda.scoring.null import FOLDER, FREE, IN_STYLE, Basis, NullPicture, NullPool, judge
from guda.scoring.pool_file import pool_digest, read_pool, rounded, write_pool
from guda.scoring.verdict import ImageScores, Outcome, score

NAMES = ("ink", "oil", "pencil", "chalk")
POINTS = 8
BASIS = Basis(
    "f" * 8,
    {"weights": "f" * 8, "resolution": 64},
    True,
    {name: name for name in NAMES},
    "{content}, in {style} style",
    {"evaluations": POINTS, "schedule": "log", "seed": 0, "weighting": "kl", "mixture": "uniform"},
)


def rows(rng, n, leads=None, by=0.0, loud=0.0):
    """(n, K, P) contributions, the style `leads` by so many nats; (n, P) the full model's terms."""
    contributions = rng.normal(size=(n, len(NAMES), POINTS)) / np.sqrt(POINTS)
    if leads is not None:
        contributions[:, leads] += by / POINTS
    levels = np.linspace(3, 1, POINTS) + 0.3 * rng.normal(size=(n, POINTS)) + loud
    return contributions, np.exp(levels)


def pictures(rng, n, source, form="content", **how):
    c, full = rows(rng, n, **how)
    return tuple(
        NullPicture(f"{source} {i}", source, "", "fox", form, -1.5, c[i], full[i]) for i in range(n)
    )


def pool(n=200, seed=0, source=FREE, extra=()):
    rng = np.random.default_rng(seed)
    t = tuple(range(1, POINTS + 1))
    return NullPool(BASIS, "generated", (*pictures(rng, n, source), *extra), t=t)


def judged(pool, seed=9, n=400, **how):
    c, full = rows(np.random.default_rng(seed), n, **how)
    return judge(pool, NAMES, ["content"] * n, c, full)


def share(told, outcome):
    return np.mean([e.outcome is outcome for e in told])


def test_pictures_of_no_style_are_seldom_named():
    named = [share(judged(pool(seed=s))[0], Outcome.STYLE) for s in range(20)]
    assert np.mean(np.array(named) > 0.065) <= 0.2 and np.mean(named) < LEVEL


def test_a_style_that_stands_out_is_named_with_its_place_in_the_pool():
    told, compared = judged(pool(), leads=1, by=9.0)
    assert share(told, Outcome.STYLE) > 0.9
    best = max(told, key=lambda e: e.statistic)
    assert best.lower == best.pool == 200 and best.strength == "strong"
    assert best.p == pytest.approx(1 / 201) and best.by_style[1] == best.p
    assert min(p for k, p in enumerate(best.by_style) if k != 1) > LEVEL
    assert compared["content"].rank == 6
    assert all(e.q >= e.p for e in told) and compared["content"].named_share() is None


def test_two_that_stand_out_from_the_others_are_undecided():
    rng = np.random.default_rng(4)
    c, full = rows(rng, 200)
    c[:, :2] += 9.0 / POINTS
    c[:, 1] = c[:, 0] + 0.001
    told, _ = judge(pool(), NAMES, ["content"] * 200, c, full)
    assert share(told, Outcome.UNDECIDED) > 0.9 and share(told, Outcome.STYLE) == 0
    scores, outcome = score(NAMES, c[0], 0.95)
    image = ImageScores("p", "fox", outcome, scores, 0.0).judged(told[0], NAMES)
    assert image.verdict == f"undecided between {scores[0].group} and {scores[1].group}"
    assert image.scores[0].p == told[0].p


def test_of_two_styles_neither_is_in_doubt_where_none_stands_out():
    """There is no third from which both could stand out."""
    c, full = rows(np.random.default_rng(9), 400)
    told, _ = judge(pool(), NAMES[:2], ["content"] * 400, c[:, :2], full)
    assert share(told, Outcome.NONE) > 0.85 and share(told, Outcome.UNDECIDED) < 0.05


def test_what_the_model_does_not_explain_is_told_apart():
    told, _ = judged(pool(), leads=1, by=30.0, loud=4.0)
    assert share(told, Outcome.UNLIKE) == 1
    folder = pool(source=FOLDER)  # foreign pictures show nothing of what it explains
    told, _ = judged(folder, leads=1, by=30.0, loud=4.0)
    assert share(told, Outcome.STYLE) == 1 and told[0].unlike is None


def test_too_few_null_pictures_of_the_prompt_s_form_tell_nothing():
    small = pool(44)
    told, _ = judged(small, n=3, leads=1, by=99.0)
    assert share(told, Outcome.UNTOLD) == 1 and told[0].pool == 44
    c, full = rows(np.random.default_rng(0), 2, leads=1, by=99.0)
    told, compared = judge(pool(), NAMES, ["named", "content"], c, full)
    assert [e.outcome for e in told] == [Outcome.UNTOLD, Outcome.STYLE]
    assert told[0].p == 1 and compared["named"].rank == 0


def test_pictures_in_the_styles_are_no_null_and_tell_how_many_would_be_named():
    inside = pictures(np.random.default_rng(5), 50, IN_STYLE, leads=2, by=6.0)
    with_them = pool(extra=inside)
    assert len(with_them.null("content")) == 200 and len(with_them.in_style("content")) == 50
    told, compared = judged(with_them, leads=2, by=6.0)
    expected = compared["content"].named_share()
    assert expected == pytest.approx(share(told, Outcome.STYLE), abs=0.15) and expected > 0.5


def test_fewer_styles_are_compared_on_their_own_columns():
    c, full = rows(np.random.default_rng(6), 3)
    names = ("chalk", "ink")
    _, compared = judge(pool(), names, ["content"] * 3, c[:, [3, 0]], full)
    null = np.stack([p.contributions[[3, 0]] for p in pool().pictures])
    assert compared["content"].first == pytest.approx(standing.of_first(null))
    unlearned = dataclasses.replace(BASIS, direct=False)
    some = dataclasses.replace(unlearned, styles={n: n for n in names})
    assert unlearned.against(some) == [] and "styles" in some.against(unlearned)[0]
    assert "styles" in BASIS.against(dataclasses.replace(some, direct=True))[0]


@pytest.mark.parametrize("name", standing.STATISTICS)
def test_a_statistic_does_not_depend_on_the_order_of_styles(name):
    scored = np.random.default_rng(7).normal(size=(20, 5, 6))
    turned = scored[:, ::-1]
    assert standing.of_first(scored, name) == pytest.approx(standing.of_first(turned, name))
    assert standing.of_second(scored, name) == pytest.approx(standing.of_second(turned, name))
    each = standing.of_each(scored, name)
    assert each == pytest.approx(standing.of_each(turned, name)[:, ::-1])
    assert standing.of_second(scored[:, :2], name).tolist() == [-np.inf] * 20


def test_statistics_by_hand():
    scored = np.random.default_rng(8).normal(size=(20, 5, 6))
    delta, k = scored.sum(2), 3
    others = np.delete(delta, k, 1)
    part = np.array([[x[k] / np.abs(x).sum() for x in picture.T] for picture in scored])
    of_others = [
        max(np.mean([x[j] / np.abs(x).sum() for x in picture.T]) for j in range(5) if j != k)
        for picture in scored
    ]
    by_hand = {
        "margin": delta[:, k] - others.max(1),
        "outlier": (delta[:, k] - others.mean(1)) / others.std(1, ddof=1),
        "share": part.mean(1) - np.array(of_others),
    }
    assert by_hand.keys() == standing.STATISTICS.keys()
    for name, values in by_hand.items():
        assert standing.of_each(scored, name)[:, k] == pytest.approx(values)


def test_no_statistic_but_the_margin_depends_on_the_size_of_nats():
    scored = np.random.default_rng(9).normal(size=(9, 5, 6))
    for name in ("share", "outlier"):
        assert standing.of_each(7 * scored, name) == pytest.approx(standing.of_each(scored, name))


def test_a_pool_comes_back_from_its_file(tmp_path):
    made = pool(5)
    made = dataclasses.replace(made, pictures=tuple(map(rounded, made.pictures)))
    write_pool(made, tmp_path / "null.json")
    again = read_pool(tmp_path / "null.json")
    assert pool_digest(again) == pool_digest(made)
    assert again.basis == made.basis and again.basis.against(made.basis) == []
    assert again.counts() == {"content": {FREE: 5}}
    for a, b in zip(again.pictures, made.pictures, strict=True):
        assert np.array_equal(a.contributions, b.contributions)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "a list"}, "it is no null pool"),
        ({"format": 2}, "a later version"),
        ({"origin": "somewhere"}, "its origin is 'somewhere'"),
        ({"t": [1]}, "another number of scores"),
        ({"general": ["ink wash"]}, "do not fit its checksum"),
        ({"basis": 1}, '"basis" is 1, no object'),
    ],
)
def test_a_damaged_pool_is_refused_by_name(tmp_path, change, words):
    path = tmp_path / "null.json"
    write_pool(pool(3), path)
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), "utf-8")
    with pytest.raises(CounterfactualError) as caught:
        read_pool(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_what_differs_is_said():
    now = dataclasses.replace(BASIS, estimate={**BASIS.estimate, "evaluations": 32})
    assert BASIS.against(now) == ["evaluations (8 then, 32 now)"]
    assert BASIS.against(dataclasses.replace(BASIS, fingerprint="e")) == ["model"]
    unlearned = dataclasses.replace(BASIS, direct=False)
    assert BASIS.against(unlearned) == ["counterfactuals (direct then, unlearned now)"]
