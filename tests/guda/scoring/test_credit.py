"""Credit adds up to at most 1, and unrelated pictures get hardly any."""

from __future__ import annotations

import csv
import dataclasses
import io

import numpy as np
import pytest

from guda.jobs.credited import credited, doubts
from guda.report import to_csv, to_dict, to_html, to_markdown
from guda.report.wording import CREDIT
from guda.scoring import standing
from guda.scoring.credit import FEWEST, credits

from ..report.report_sample import GROUPS, sample


def scored(rng, n, k=5, points=8, lean=0.0):
    given = rng.standard_t(3, (n, k, points))
    given[:, 0] += lean
    return given


@pytest.mark.parametrize("lean", [0.0, 5.0, -5.0])
@pytest.mark.parametrize("pool", [None, 40])
def test_it_adds_up_to_at_most_one_and_is_never_negative(lean, pool):
    rng = np.random.default_rng(0)
    null = None if pool is None else scored(rng, pool)
    given = credits(scored(rng, 300, lean=lean), null)
    assert given.min() >= 0 and given.sum(1).max() <= 1 + 1e-12


def test_a_null_pool_takes_and_never_gives():
    rng = np.random.default_rng(1)
    asked, null = scored(rng, 100, lean=2.0), scored(rng, 100)
    assert (credits(asked, null) <= credits(asked) + 1e-12).all()
    assert (credits(asked) == standing.parts(asked).clip(0)).all()


def test_five_in_a_hundred_unrelated_pictures_get_any_of_a_style():
    rng = np.random.default_rng(2)
    given = credits(scored(rng, 4000), scored(rng, 4000))
    assert (given > 0).mean(0) == pytest.approx([0.05] * 5, abs=0.015)


def test_all_that_moves_is_all_of_the_credit_and_what_does_not_move_has_none():
    null = scored(np.random.default_rng(3), 50)
    alone = np.zeros((1, 5, 8))
    alone[:, 2] = 3.0
    assert credits(alone, null) == pytest.approx(np.eye(5)[[2]])
    assert (credits(np.zeros((1, 5, 8)), null) == 0).all()


def test_the_order_and_the_unit_do_not_matter():
    rng = np.random.default_rng(4)
    asked, null = scored(rng, 30, lean=1.0), scored(rng, 60)
    order = rng.permutation(5)
    same = credits(asked[:, order] * 7, null[rng.permutation(60)][:, order] * 0.1)
    assert same == pytest.approx(credits(asked, null)[:, order])


def test_few_null_pictures_are_not_subtracted_and_warned_of():
    rng = np.random.default_rng(5)
    asked = scored(rng, 10)
    assert (credits(asked, scored(rng, FEWEST - 1)) == credits(asked)).all()
    (text,) = doubts(None, ["content", "content"])
    assert "no null pool" in text and "make a null pool of" in text


def test_every_form_of_the_report_has_the_column_and_the_rest():
    contributions = scored(np.random.default_rng(6), 3, lean=4.0)
    answer = credited(sample(), contributions, None, ["content"] * 3)
    data = to_dict(answer)["images"][0]
    given = [s["credit"] for s in data["scores"]]
    assert sum(given) + data["credit_of_none"] == pytest.approx(1)
    by_group = dict(zip(GROUPS, credits(contributions)[0], strict=True))
    assert given == pytest.approx([by_group[s["group"]] for s in data["scores"]])
    rows = list(csv.DictReader(io.StringIO(to_csv(answer))))
    assert [float(r["credit"]) for r in rows[:5]] == pytest.approx(given)
    assert to_markdown(answer).count("| none of these |") == 3 and CREDIT in to_markdown(answer)
    assert CREDIT.split(";")[0].split("'")[0] in to_html(answer)
    shares = [[s.share for s in i.scores] for i in answer.images]
    assert shares == [[s.share for s in i.scores] for i in sample().images]


def test_without_it_nothing_changes():
    assert "credit" not in to_csv(sample()) + to_markdown(sample()).replace("credits", "")
    assert all(s.credit is None for i in sample().images for s in i.scores)
    assert dataclasses.replace(sample().images[0].scores[0]).credit is None
