"""Tables, charts, page and files of an attribution."""

from __future__ import annotations

import csv
import dataclasses
import html.parser
import io
import json
import math
import re

import numpy as np
import pytest
from PIL import Image, ImageColor

from guda.errors import SaveError
from guda.report import bars, card, loss_curve, save, to_csv, to_dict, to_html, to_markdown, wording
from guda.report.drawing import BLUE, HAIRLINE, PAPER, QUIET, SKY, VERMILION, Canvas
from guda.report.heatmap import to_image
from guda.scoring.verdict import Outcome

from .report_sample import GROUPS, PROMPTS, STRATA, sample

KEYS = {"group", "delta", "stderr", "low", "high", "rank", "share"}


@pytest.fixture(scope="module")
def attribution():
    return sample()


def broken(attribution):
    """The same with numbers that no JSON may hold."""
    image = attribution.images[0]
    scores = (
        dataclasses.replace(image.scores[0], stderr=math.nan, high=math.inf, low=-math.inf),
        *image.scores[1:],
    )
    image = dataclasses.replace(image, scores=scores, elbo=math.nan)
    return dataclasses.replace(attribution, images=(image, *attribution.images[1:]))


def near(image: Image.Image, color: str) -> np.ndarray:
    """(H, W) where the picture has just this colour."""
    return np.all(np.asarray(image) == ImageColor.getrgb(color), axis=-1)


def test_the_sample_has_all_three_verdicts(attribution):
    assert [image.verdict for image in attribution.images] == [
        "Twemoji",
        "undecided",
        "none of these",
    ]


def test_dict_has_the_documented_keys_and_the_very_numbers(attribution):
    read = json.loads(json.dumps(to_dict(attribution), allow_nan=False))
    documented = {"images", "full_model", "estimate", "unet_evaluations", "version"}
    assert (
        documented
        <= read.keys()
        <= documented
        | {
            "counterfactuals",
            "seconds",
            "note",
            "warnings",
        }
    )
    assert read["full_model"] == attribution.full_model
    assert read["estimate"] == attribution.estimate
    for entry, image in zip(read["images"], attribution.images, strict=True):
        assert entry.keys() == {"image", "prompt", "verdict", "outcome", "scores", "elbo"}
        assert Outcome(entry["outcome"]) == image.outcome
        assert (entry["image"], entry["prompt"], entry["verdict"]) == (
            image.image,
            image.prompt,
            image.verdict,
        )
        for row, score in zip(entry["scores"], image.scores, strict=True):
            assert {key: row[key] for key in KEYS} | {
                "p": None,
                "credit": None,
                "seed_stderr": None,
            } == dataclasses.asdict(score)
            assert row.keys() == KEYS | {"profile"}
            assert [(part["from"], part["to"]) for part in row["profile"]] == list(STRATA)
            total = sum(part["delta"] for part in row["profile"])
            assert total == pytest.approx(score.delta, abs=1e-4)


def test_numbers_that_json_cannot_hold_become_null(attribution):
    text = json.dumps(to_dict(broken(attribution)), allow_nan=False)
    row = json.loads(text)["images"][0]["scores"][0]
    assert [row[key] for key in ("stderr", "low", "high")] == [None, None, None]
    assert row["delta"] == attribution.images[0].scores[0].delta


def test_csv_round_trips_and_no_cell_is_a_formula(attribution):
    rows = list(csv.DictReader(io.StringIO(to_csv(attribution))))
    assert list(rows[0]) == (
        ["image", "prompt", "verdict", "group", "delta", "stderr", "low", "high", "rank", "share"]
    )
    scores = [(image, s) for image in attribution.images for s in image.scores]
    for row, (image, score) in zip(rows, scores, strict=True):
        for key in KEYS - {"group"}:
            assert float(row[key]) == getattr(score, key)
        assert row["group"].removeprefix("'") == score.group
        assert row["prompt"].removeprefix("'") == image.prompt
    cells = [row[key] for row in rows for key in ("image", "prompt", "verdict", "group")]
    assert not [cell for cell in cells if cell[0] in "=+-@"]
    assert any(cell == "'=SUM(A1)" for cell in cells)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " =", "\t", "\uff1d", "\ufe66", "\u200b="])
def test_csv_guards_every_formula_start(start):
    attribution = sample((f"{start}1+1", *GROUPS[1:]))
    groups = {row["group"] for row in csv.DictReader(io.StringIO(to_csv(attribution), newline=""))}
    assert f"'{start}1+1" in groups


def test_markdown_has_a_section_and_a_row_for_everything(attribution):
    text = to_markdown(attribution)
    assert text.count("\n## ") == 3 == text.count(wording.MEANING)
    assert (
        "First of these styles: **Twemoji**: without it the model would fit this picture worse by "
        "12.3" in text
    )
    assert "Too close to call between **Twemoji** and **Noto blob**" in text
    assert "None of the tested styles made a measurable difference" in text
    assert "| rank | style | delta (nats) | 95 % interval | share |" in text
    rows = re.findall(r"^\| \d.*", text, re.MULTILINE)
    assert len(rows) == 15
    cells = [re.split(r"(?<!\\)\|", row) for row in rows]
    assert {len(c) for c in cells} == {7}  # escaped bars split no cell
    assert sum(r"Fluent\|flat \<b\>" in row for row in rows) == 3
    assert "<script>" not in text and "pipe second" in text  # newlines do not break the page


def test_units_and_confidence_are_the_estimate_s_own():
    text = to_markdown(sample(weighting="eps", confidence=0.9))
    assert "delta (weighted error) | 90 % interval" in text
    assert "nats" not in text
    page, _, details = to_html(sample(weighting="eps")).partition("<details")
    assert "weighted error" in page and "nats" not in page
    assert details  # which explains the setting, nats and all


def test_verdict_names_at_most_three_of_many_contenders(attribution):
    image = attribution.images[1]
    tied = tuple(dataclasses.replace(s, low=1.0, high=9.0) for s in image.scores)
    image = dataclasses.replace(image, scores=tied)
    sentence = wording.verdict_sentence(image, "nats")
    assert "between Twemoji, Noto blob and 3 more:" in sentence


def test_a_carriage_return_breaks_no_row():
    names = ("a\rb", "c\r\nd", *GROUPS[2:])
    rows = list(csv.DictReader(io.StringIO(to_csv(sample(names)), newline="")))
    assert len(rows) == 15
    assert {"a\nb", "c\nd"} < {row["group"] for row in rows}


@pytest.mark.parametrize(
    ("value", "decimals", "signed", "text"),
    [
        (12.34, 1, True, "+12.3"),
        (-0.04, 1, True, "0.0"),
        (-1.25, 2, False, "\N{MINUS SIGN}1.25"),
        (math.nan, 2, True, "\N{EN DASH}"),
        (12345.6, 0, False, "12,346"),
    ],
)
def test_numbers_read_well(value, decimals, signed, text):
    assert wording.number(value, decimals, signed=signed) == text


def test_digits_follow_the_largest_number():
    assert [wording.digits([v, 0.001]) for v in (123, 12.3, 1.2, 0.5, 0.05)] == [0, 1, 2, 3, 4]
    assert wording.digits([]) == wording.digits([0.0, math.nan]) == 2


def test_bars_have_the_size_asked_for_and_grow_with_the_groups(attribution):
    assert bars(attribution, 0, size=(512, 320)).size == (512, 320)
    assert bars(attribution, 0).size == bars(attribution, 2).size == (1024, 640)
    many = bars(sample(GROUPS + tuple(f"style {k}" for k in range(15))), 0, size=(512, 320))
    assert many.width == 512
    assert many.height > 20 * 24


def test_the_leader_s_bar_is_the_longest_and_the_only_blue_one(attribution):
    drawn = bars(attribution, 0, size=(512, 320))
    blue, quiet = near(drawn, BLUE), near(drawn, QUIET)
    assert blue.sum(1).max() > 2 * quiet.sum(1).max()  # 12.3 against 4.1
    assert np.flatnonzero(blue.any(1)).max() < np.flatnonzero(quiet.any(1)).min()  # best first
    zero = np.flatnonzero(blue.any(0)).min()
    assert (np.flatnonzero(quiet.any(0)) < zero - 4).any()  # the negative one goes left
    ratio = np.ptp(np.flatnonzero(blue.any(0))) / quiet[:, zero:].sum(1).max()
    assert ratio == pytest.approx(12.3 / 4.1, rel=0.15)


def test_colour_says_which_verdict(attribution):
    undecided, none = bars(attribution, 1), bars(attribution, 2)
    assert near(undecided, SKY).any() and not near(undecided, BLUE).any()
    assert not near(none, SKY)[200:].any() and not near(none, BLUE).any()


def test_bars_survive_odd_numbers_and_names(attribution, recwarn):
    bars(broken(attribution), 0)
    names = tuple(
        f"$\\frac{{{k}}}$ \N{CJK UNIFIED IDEOGRAPH-65E5} {'long ' * 60}" for k in range(5)
    )
    assert bars(sample(names), 0).size == bars(attribution, 0).size
    assert not [w for w in recwarn if "Glyph" in str(w.message)]


def test_a_frame_runs_along_every_edge():
    canvas = Canvas(40, 30, scale=1.5)
    canvas.frame()
    pixels = np.asarray(canvas.image())
    edges = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
    assert {tuple(p) for edge in edges for p in edge} == {ImageColor.getrgb(HAIRLINE)}
    assert {tuple(p) for p in pixels[2:-2, 2:-2].reshape(-1, 3)} == {ImageColor.getrgb(PAPER)}


def test_text_is_shortened_to_its_room():
    canvas = Canvas(300, 40)
    short = canvas.fit("a very long name of a style that fits nowhere", 13, 100)
    assert short.endswith("…") and canvas.width_of(short, 13) <= 100
    assert canvas.width_of(short, 13) > 70
    assert canvas.fit("short", 13, 100) == "short"


@pytest.mark.parametrize(
    "text", ["a fox that grins at length, in fluent style", "\u72d0" * 60, "a " + "y" * 200]
)
def test_text_is_broken_to_its_room(text: str):
    """In scripts without spaces, too, and with nothing lost."""
    canvas = Canvas(300, 40)
    lines = canvas.wrap(text, 13, 100, lines=40)
    assert len(lines) > 2 and max(canvas.width_of(line, 13) for line in lines) <= 100
    assert "".join("".join(lines).split()) == "".join(text.split())
    short = canvas.wrap(text, 13, 100, lines=2)
    assert short[0] == lines[0] and len(short) == 2 and short[1].endswith("\u2026")


def test_no_sign_is_torn():
    """A mark stays with its letter, and a joined sign whole."""
    canvas = Canvas(300, 40)
    family, letter = "\U0001f469\u200d\U0001f467", "e\u0301"
    for sign in (family, letter):
        lines = canvas.wrap(sign * 30, 13, 100, lines=60)
        assert len(lines) > 2 and all(set(line.split(sign)) == {""} for line in lines)


def curve(count: int, forget: float):
    return [(step, forget, 0.1) for step in range(1, count + 1)]


def test_loss_curves_show_each_group_s_height_and_progress():
    drawn = loss_curve({"a": curve(60, 1.0), "b": curve(30, 0.5)}, steps=60)
    assert drawn.size == (512, 320) and drawn.mode == "RGB"
    line = near(drawn, VERMILION)[75:]  # below legend and numbers
    left, right = line[:, :256], line[:, 256:]
    assert left.any() and right.any()
    assert np.flatnonzero(left.any(1)).max() < np.flatnonzero(right.any(1)).min()  # 1.0 above 0.5
    reach = [np.ptp(np.flatnonzero(half.any(0))) for half in (left, right)]
    assert reach[1] == pytest.approx(reach[0] / 2, rel=0.05)  # half way through


@pytest.mark.parametrize(
    "losses",
    [{}, {"a": []}, {"a": [(1, math.nan, 0.2)]}, {"a": [(1, 0.0, 0.0)]}, {"a": curve(5000, 2e6)}],
)
def test_loss_curves_of_hardly_anything(losses):
    assert loss_curve(losses).size == (512, 320)


class Page(html.parser.HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]

    def handle_data(self, data):
        self.words.append(data)


def test_page_loads_nothing_from_outside(attribution):
    text = to_html(attribution)
    page = Page(text)
    assert not re.search(r"https?://|@import|url\(", text)
    links = [value for _, key, value in page.attributes if key in ("src", "href", "srcset")]
    assert len(links) == 3 + 3 + 3 + 3 * (4 + 1)  # overview: link, thumbnail; picture; maps, legend
    assert all(link.startswith(("data:image/", "#picture-")) for link in links)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "prefers-color-scheme:dark" in text


def test_page_escapes_what_users_name(attribution):
    evil = '"><img src=x onerror=alert(1)>'
    attribution = dataclasses.replace(
        sample((evil, *GROUPS[1:])), full_model={"name": evil, "fingerprint": evil}, version=evil
    )
    image = dataclasses.replace(attribution.images[0], image=evil, prompt=evil)
    page = Page(to_html(dataclasses.replace(attribution, images=(image, *attribution.images[1:]))))
    assert not [a for a in page.attributes if a[1].startswith("on") or a[2] == "x"]
    assert "script" not in page.tags
    assert evil in "".join(page.words)


def test_page_says_everything(attribution):
    words = " ".join("".join(Page(to_html(attribution)).words).split())
    for said in (*GROUPS, wording.MEANING, "First of these styles: Twemoji",
                     wording.RANKING, "Too close to call", "1,248",
                 "emoji-demo <v1>", "b2a1c0ffee", "21.4 s", "0.1.0", "structure", "texture",
                 "nats per location", " ".join(PROMPTS[2].split())):  # fmt: skip
        assert said in words, said
    for score in attribution.images[0].scores:
        assert wording.number(score.delta, 1, signed=True) in words
        assert wording.span(score.low, score.high, 1) in words


def test_page_survives_odd_numbers(attribution):
    text = to_html(broken(attribution))
    visible = re.sub(r"data:[^\"]*", "", text)
    assert not re.search(r"\b(nan|inf)\b", visible)


def test_save_writes_everything_once(attribution, tmp_path):
    texts = {"prompt": '{"1": "fuchs"}', "workflow": '"\\u72d0"'}
    report = save(attribution, tmp_path / "new" / "folder", top=2, metadata=texts)
    listed = {report.html, report.json, report.csv, report.markdown}
    pictures = (*report.cards, *report.charts, *report.heatmaps, *report.overlays)
    listed |= {*pictures}
    assert set(report.folder.iterdir()) == listed
    assert len(report.cards) == len(report.charts) == len(report.heatmaps) == 3
    assert len(report.overlays) == 6
    assert report.folder / "heatmap-1-twemoji.png" in report.overlays
    assert json.loads(report.json.read_text("utf-8")) == json.loads(
        json.dumps(to_dict(attribution))
    )
    assert report.csv.read_text("utf-8") == to_csv(attribution)
    for path in pictures:
        with Image.open(path) as image:
            image.load()
            assert image.info.items() >= texts.items()
            assert image.mode == "RGB" and image.width >= 512


def test_a_card_shows_verdict_bars_and_maps(attribution):
    pixels = np.asarray(card(attribution, 0)).astype(int)
    photo = np.asarray(to_image(attribution.pictures[0], 380))
    assert np.array_equal(pixels[40:420, 40:420], photo)
    blue = np.abs(pixels - (0, 114, 178)).sum(-1) < 12  # the leader's bar, and nothing else
    assert blue.sum() > 2000 and not blue[420:].any()
    orange = (pixels[..., 0] - pixels[..., 2] > 90) & (pixels[..., 0] > 150)
    assert orange[480:760].sum() > 500, "no heat map"
    for other in (broken(attribution), sample(tuple(f"style {i}" for i in range(30)))):
        grown = card(other, 0)
        assert grown.width == 1280 and np.asarray(grown).std() > 20
    assert grown.height > pixels.shape[0]


def test_names_with_one_slug_get_two_files(tmp_path):
    report = save(sample(("A b", "a-b", *GROUPS[2:])), tmp_path, top=5)
    assert len({path.name for path in report.overlays}) == 15 == len(report.overlays)


def test_save_where_a_file_stands_is_refused(attribution, tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(SaveError, match=r"taken.*choose another folder"):
        save(attribution, tmp_path / "taken")
