"""Verdicts from null pictures in every form of the report: what is read first, and its errors."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re

import numpy as np
import pytest
from torch.nn import functional

from guda.report import bars, notes, to_csv, to_dict, to_html, to_markdown, wording
from guda.report.card import card
from guda.report.distribution import of
from guda.report.drawing import Canvas
from guda.report.side_by_side import sheet
from guda.scoring import conformal
from guda.scoring.verdict import AgainstNull, Evidence, NullForm, Outcome

from .report_sample import GROUPS, sample

VALUES = tuple(np.linspace(0, 0.4, 200).tolist())


def evidence(statistic, outcome, form="content"):
    lower = sum(v < statistic for v in VALUES)
    p = (201 - lower) / 201
    return Evidence(form, 200, 6, lower, statistic, p, (p, 1, 1, 1, 1), 0.4, outcome, min(1, 3 * p))


@pytest.fixture(scope="module")
def answer():
    return of_three()


def of_three():
    """One picture named, one undecided, one of none of the styles."""
    told = [
        evidence(0.6, Outcome.STYLE),
        evidence(0.2, Outcome.UNDECIDED),
        evidence(0.1, Outcome.NONE),
    ]
    plain = sample()
    form = NullForm(
        200, {"no style": 100, "another style": 100, "in a style": 50}, VALUES, 6, VALUES[-6], 0.58
    )
    null = AgainstNull("generated", "null.json", "d" * 32, {"content": form}, 0.09, 1)
    images = tuple(i.judged(e, GROUPS) for i, e in zip(plain.images, told, strict=True))
    return dataclasses.replace(plain, images=images, null=null)


def held_against(answer, size, rank):
    """The answer with a pool of that size."""
    form = dataclasses.replace(answer.null.forms["content"], pictures=size, rank=rank)
    return dataclasses.replace(
        answer, null=dataclasses.replace(answer.null, forms={"content": form})
    )


def one(answer, index, **changes):
    image = answer.images[index]
    told = dataclasses.replace(image.evidence, **changes)
    return image.judged(told, GROUPS)


def test_the_verdict_comes_with_its_place_its_strength_and_its_error_rate(answer):
    head, tail = wording.verdict_parts(answer.images[0], "nats")
    assert head == "Leaning on Twemoji"
    assert tail.startswith("strong evidence, higher than 200 of 200 pictures that have nothing")
    assert tail.endswith("Of such pictures at most 5 % get a name (90 % confidence).")
    head, tail = wording.verdict_parts(answer.images[1], "nats")
    assert head == "Undecided between Twemoji and Noto blob" and "at most 5 %" in tail
    head, tail = wording.verdict_parts(answer.images[2], "nats")
    assert head == "None of these" and tail.startswith("weak evidence: Twemoji comes first")


@pytest.mark.parametrize(
    ("pool", "above", "said"),
    [
        (60, 1, "moderate evidence: Twemoji comes first, higher than 59 of 60 "),
        (60, 1, "With a null pool of 300 it may get a name."),
        (60, 2, "(90 % confidence)."),
        (200, 6, "With a null pool of 400 it may get a name."),
        (200, 40, "(90 % confidence)."),
    ],
)
def test_what_a_larger_pool_would_tell_is_said(answer, pool, above, said):
    rank, p = conformal.largest_rank(pool), (above + 1) / (pool + 1)
    image = one(answer, 2, pool=pool, rank=rank, lower=pool - above, p=p)
    tail = wording.verdict_parts(image, "nats")[1]
    assert tail.startswith(said) or tail.endswith(said), tail


@pytest.mark.parametrize(("size", "rank", "few"), [(20, 0, 0), (60, 1, 1), (200, 6, 0)])
def test_a_small_pool_is_said_to_name_few(answer, size, rank, few):
    said = " ".join(notes.of(held_against(answer, size, rank)))
    assert said.count("A pool of fewer than 200 names few of the pictures") == few


@pytest.mark.parametrize(
    ("outcome", "head", "tail"),
    [
        (Outcome.UNLIKE, "Unlike anything that the styles", "the scores below mean little"),
        (Outcome.UNTOLD, "Not enough to tell", "a verdict needs 45 at least"),
    ],
)
def test_what_cannot_be_told_is_said(answer, outcome, head, tail):
    image = one(answer, 0, outcome=outcome)
    said = wording.verdict_parts(image, "nats")
    assert said[0].startswith(head) and tail in said[1]
    assert wording.contenders(image) == () and image.verdict.startswith(head.lower())
    page = to_html(dataclasses.replace(answer, images=(image,)))
    assert head in page


def test_every_form_has_the_evidence(answer):
    data = json.loads(json.dumps(to_dict(answer), allow_nan=False))
    entry = data["images"][0]["evidence"]
    assert entry["p"] == pytest.approx(1 / 201) and entry["strength"] == "strong"
    assert entry["lower"] == entry["null_pictures"] == 200
    assert data["images"][0]["scores"][0]["p"] == entry["p"]
    assert data["null"]["expected_wrong"] == 0.09 and data["null"]["kept"] == 1
    assert len(data["null"]["prompts"]["content"]["statistics"]) == 200
    rows = list(csv.DictReader(io.StringIO(to_csv(answer))))
    assert float(rows[0]["p"]) == entry["p"] and rows[5]["verdict"].startswith("undecided between")
    for text in (to_markdown(answer), to_html(answer)):
        assert "1 of 3 pictures got a name; at most about 0.1 of the names" in text
        assert "(100 without a style and 100 in styles that are not tested)" in text
        assert "58 % would get a name" in text


def test_verdicts_come_before_what_they_mean(answer):
    page = to_html(answer)
    assert page.index('class="overview"') < page.index("Held against") < page.index("<section")
    alone = to_html(dataclasses.replace(answer, images=answer.images[:1]))
    assert alone.index('class="verdict"') < alone.index("Held against")


def test_the_null_distribution_marks_the_picture_and_the_cut(answer):
    drawn = [of(answer, image) for image in answer.images]
    assert [len(d.bars) for d in drawn] == [32] * 3 and all(max(d.bars) == 1 for d in drawn)
    assert drawn[0].mark > drawn[0].cut > drawn[0].bars.index(1) / 32
    assert drawn[2].mark < drawn[2].cut
    page = to_html(answer)
    assert page.count('<svg class="null"') == 3 and page.count('class="cut"') == 3
    marks = [float(x) for x in re.findall(r'class="mark" cx="([\d.]+)%"', page)]
    assert marks == pytest.approx([100 * d.mark for d in drawn], abs=0.01)
    assert of(sample(), sample().images[0]) is None and '<svg class="null"' not in to_html(sample())


def test_the_card_has_room_for_it(answer):
    plain, told = card(sample(), 0), card(answer, 0)
    assert told.width == plain.width and told.height > plain.height
    blue = (np.asarray(told)[150:260, 460:1240] == (0, 114, 178)).all(-1)
    assert blue.any(0).nonzero()[0].mean() > 700  # this picture's line, right of all the others


@pytest.fixture
def texts(monkeypatch):
    """What is written on sheets that are drawn meanwhile: (left, top, right, bottom, text)."""
    written, drawn = [], Canvas.text

    def text(self, x, y, said, size=13, *args, **options):
        wide = self.width_of(said, size, bold=options.get("bold", False))
        left = x - wide * {"left": 0, "center": 0.5, "right": 1}[options.get("align", "left")]
        written.append((left, y - size / 2, left + wide, y + size / 2, said))
        return drawn(self, x, y, said, size, *args, **options)

    monkeypatch.setattr(Canvas, "text", text)
    return written


@pytest.mark.parametrize("shape", [(128, 128), (64, 160), (32, 160), (160, 64), (160, 32)])
@pytest.mark.parametrize("index", [0, 2])
def test_maps_of_any_shape_have_words_that_can_be_read(answer, texts, shape, index):
    pictures = functional.interpolate(answer.pictures, shape)
    sheet(dataclasses.replace(answer, pictures=pictures), index)
    for k, (left, top, right, bottom, said) in enumerate(texts):
        for a, b, c, d, other in texts[:k]:
            assert right <= a or c <= left or bottom <= b or d <= top, (said, other)
    said = " ".join(t[4] for t in texts)
    assert "nats per location" in said
    assert wording.verdict_parts(answer.images[index], "nats")[0] in said


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_chart_says_all_of_the_verdict(answer, texts, index):
    bars(answer, index)
    said = " ".join(t[4] for t in texts)
    assert all(part in said for part in wording.verdict_parts(answer.images[index], "nats"))


def test_without_a_pool_it_is_a_ranking():
    page = to_html(sample())
    assert "no evidence of origin" in page and "at most 5 %" not in page
    assert "Leaning on" not in page and "First of these styles" in page


def test_a_map_is_called_noise_by_the_intervals_and_not_by_the_verdict(answer):
    image = answer.images[0]
    assert image.scores[0].low > 0
    none = one(answer, 0, outcome=Outcome.NONE)
    low = tuple(dataclasses.replace(s, low=-1.0) for s in none.scores)
    others = sum(all(s.low <= 0 for s in i.scores) for i in answer.images[1:])
    for shown, noise in ((none, 0), (dataclasses.replace(none, scores=low), 1)):
        page = to_html(dataclasses.replace(answer, images=(shown, *answer.images[1:])))
        assert page.count("No style clears zero here") == others + noise


def test_what_a_pool_is_made_of_is_told_in_words_and_unknown_sources_as_they_are():
    told = notes.made_of({"content": {"no style": 2, "in a style": 1, "of a friend": 3}})
    assert told == [
        f"content ({wording.FORMS['content']}): 2 without a style, 1 in the styles themselves, "
        "3 of a friend"
    ]
