"""Text of strangers: what a terminal, a page, Markdown or a spreadsheet would take for more."""

from __future__ import annotations

import csv
import html
import io
import re

import pytest

from guda.cli import Progress, main
from guda.errors import GudaError
from guda.escape import for_cell, for_markdown, for_page, visible
from guda.report import to_csv, to_html, to_markdown
from guda.scoring.verdict import Outcome
from guda.steps import Step

from .report_sample import GROUPS, sample

CONTROLS = "\x1b[2Ja\x07\r\x9b0m\x7f\u202eb\u2066\u200f\u2028\ufeff\ud800"
SPELLED = r"\x1b[2Ja\x07\r\x9b0m\x7f\u202eb\u2066\u200f\u2028\ufeff\ud800"
FORMULAS = [
    "=1+1", "+1", "-1", "@SUM(A1)", " =1", "\u200b=1", "\u202e=1", "\x00=1", "\uff1d1+1", "\uff0b1",
    "\uff0d1", "\uff201", "\ufe661", "a;=1", "a; \u200b=1", "a\t=1", "a\n=1", "a\r\n=1", 'a";=1',
    ";;=1", "\n\n=1", "a;\uff1d1",
]  # fmt: skip


def test_what_is_not_seen_is_spelled_out():
    assert visible(CONTROLS) == SPELLED
    assert visible("two\nlines\tand a tab") == "two\nlines\tand a tab"
    assert visible("two\nlines", keep="") == r"two\nlines"


@pytest.mark.parametrize(
    "name",
    [
        "Monet",
        "\u5370\u8c61\u6d3e",
        "\u0633\u0628\u06a9",
        "a\u00a0b",
        "\U0001f469\u200d\U0001f3a8",
        "\u0646\u06cc\u200c\u0633\u062a",
    ],
)
def test_names_in_any_script_stay(name):
    assert visible(name) == name == html.unescape(for_page(name))


def test_errors_are_one_line():
    assert str(GudaError(f"folder is {CONTROLS}\n.")) == rf"folder is {SPELLED}\n."


@pytest.mark.parametrize("live", [True, False])
def test_progress_is_one_line(live, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    stream = io.StringIO()
    stream.isatty = lambda: live
    with Progress(stream=stream) as progress:
        progress(Step("unlearn", 1, 1, f"{CONTROLS}\nguda: done"))
    said = stream.getvalue().replace("\r\x1b[K", "")
    assert rf"{SPELLED}\nguda: done" in said
    assert set(filter(lambda c: not c.isprintable(), said)) <= {"\n"}


def test_live_progress_stays_in_its_row(monkeypatch):
    """What wraps could not be written over, and fills the terminal."""
    monkeypatch.setenv("COLUMNS", "30")
    stream = io.StringIO()
    stream.isatty = lambda: True
    progress = Progress(stream=stream)
    progress(Step("unlearn", 1, 1, "\u5370\u8c61\u6d3e" * 9))
    progress(Step("gate", 1, 1, "dots"))
    _, long, short = stream.getvalue().split("\r\x1b[K")
    assert (
        long == "unlearn " + "\u5370\u8c61\u6d3e" * 3 + "\u5370\u2026" and short == "gate dots 1/1"
    )


def test_the_command_line_s_error_moves_no_cursor(tmp_path, capsys):
    controls, spelled = CONTROLS[:-1], SPELLED.removesuffix(r"\ud800")
    argv = ["attribute", "--model", "demo", "--counterfactuals", str(tmp_path / f"no\n{controls}")]
    assert main([*argv, "--image", "x.png", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and rf"no\n{spelled}" in said


def test_a_page_shows_text_only():
    hostile = "<img src=x onerror=alert(1)> & [[label|https://a.b]] http://a.b www.a.b __LNK0__ \"'"
    safe = for_page(hostile)
    assert html.unescape(safe) == hostile
    for sign in ("<", ">", '"', "'", "[", "://", "www.", "__LNK"):
        assert sign not in safe, sign


def test_markdown_has_no_addresses_mentions_or_formulas():
    told = for_markdown("$x$ https://a.b\nhttp://a.b www.a.b WWW.a.b me@a.b #1 <b> a*b")
    expected = r"\$x\$ https\://a.b http\://a.b www\.a.b WWW\.a.b me\@a.b \#1 \<b\> a\*b"
    assert told == expected


def fields(line: str, separator: str) -> list[str]:
    """As a reader sees them for whom the quotes of a field that only holds them are not special."""
    return [f for row in line.split("\n") for f in row.split(separator)]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_part_of_a_cell_is_a_formula(text):
    cell = for_cell(text)
    for separator in (";", "\t"):
        for part in fields(cell, separator):
            seen = re.sub(r"^[\s\u200b\u202e\x00]+", "", part)
            assert not seen or seen[0] not in "=+-@\uff1d\uff0b\uff0d\uff20\ufe66", (cell, part)
    assert re.sub(r"'(?=[\s\u200b\u202e\x00]*[=+\-@\uff1d\uff0b\uff0d\uff20\ufe66])", "", cell) == (
        text.replace("\r\n", "\n")
    )


def test_ordinary_cells_stay():
    for text in ("a, -b", "2-1", "a=b", "it's", "a;b", ""):
        assert for_cell(text) == text


def test_reports_hold_no_marks_of_direction():
    names = (f"<b>{CONTROLS}", "$a$ https://example.com", *GROUPS[2:])
    attribution = sample(names)
    for text in (to_html(attribution), to_markdown(attribution)):
        assert set(filter(lambda c: not c.isprintable(), text)) <= {"\n"}
    assert "https://example.com" not in to_markdown(attribution)
    assert "<b>" + SPELLED not in to_html(attribution)


def test_a_style_called_like_a_verdict_is_told_apart():
    """Three pictures: one of the style, one undecided, one of none."""
    attribution = sample(("Undecided", "None of these", *GROUPS[2:]))
    outcomes = [image.outcome for image in attribution.images]
    assert outcomes == [Outcome.STYLE, Outcome.UNDECIDED, Outcome.NONE]
    rows = list(csv.DictReader(io.StringIO(to_csv(attribution))))
    said = list(dict.fromkeys(row["verdict"] for row in rows))
    assert said == ['the style "Undecided"', "undecided", "none of these"]
    assert "First of these styles: **Undecided**" in to_markdown(attribution)
    page = to_html(attribution)
    assert "<b><q>Undecided</q></b>" in page and "<b>Too close to call</b>" in page
