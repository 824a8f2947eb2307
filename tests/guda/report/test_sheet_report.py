"""The sheets of styles in a report: which of them, and none that is no picture."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch

from guda.files.png import save_with_text
from guda.report import save, sheet, to_html

from .report_sample import GROUPS, sample

PROMPTS = ["a fox, in ink style", "a sun, in ink style", "a fox, kept", "a sun, kept"]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """A sheet for every style of the sample but the last."""
    folder, made = tmp_path_factory.mktemp("sheets"), {}
    for i, name in enumerate(GROUPS[:-1]):
        pictures = torch.full((2, 4, 3, 16, 16), 0.2 * i)
        pictures[1] += 0.1
        made[name] = folder / f"{i}.png"
        save_with_text(sheet.with_and_without(name, "kept", PROMPTS, pictures), made[name], {})
    return made


@pytest.fixture
def attribution(paths):
    return dataclasses.replace(sample(), sheets=paths)


def test_the_report_shows_every_style_with_it_and_without_it(attribution):
    page = to_html(attribution)
    alts = re.findall(r'alt="([^"]*), with it and without it"', page)
    assert alts == ["Twemoji", "Noto blob", "OpenMoji", "Fluent|flat &lt;b&gt;"]
    assert "with it and without it" not in to_html(sample())


def test_leaders_come_first_and_the_rest_is_counted(attribution, monkeypatch):
    monkeypatch.setattr(sheet, "MOST", 2)
    assert list(sheet.shown(attribution)) == ["Twemoji", "Noto blob"]
    assert "2 more lie beside their LoRAs" in to_html(attribution)


def test_what_is_no_sheet_is_left_out(attribution, paths, tmp_path):
    damaged, text = tmp_path / "damaged.png", tmp_path / "text.png"
    damaged.write_bytes(paths["Twemoji"].read_bytes()[:-20])
    text.write_text("no picture", "utf-8")
    bad = {"Twemoji": damaged, "Noto blob": text, "OpenMoji": tmp_path / "gone.png"}
    left = dataclasses.replace(attribution, sheets=dict(paths) | bad)
    assert list(sheet.shown(left)) == ["Fluent|flat <b>"]


def test_the_thumbnail_is_the_style_s_own_half(paths):
    whole = sheet.opened(paths["Noto blob"])
    small = sheet.thumbnail(whole)
    assert small.size == (2 * sheet.TILE + sheet.PAD,) * 2
    above, below = (small.getpixel((9, y)) for y in (9, small.height - 9))
    assert above == pytest.approx((51,) * 3, abs=1) and below == pytest.approx((77,) * 3, abs=1)


@pytest.mark.parametrize("prompt", ["a fox with a long tail, in ink style", "\u72d0" * 200])
def test_prompts_are_whole_under_their_columns(monkeypatch, prompt: str):
    """However long, and the pictures stay where a thumbnail looks for them."""
    written = []
    monkeypatch.setattr(sheet.Canvas, "text", lambda _, x, y, text, *a, **k: written.append(text))
    pictures = torch.rand(2, 4, 3, 16, 16)
    made = [sheet.with_and_without("ink", "kept", p, pictures) for p in (PROMPTS, [prompt] * 4)]
    assert "".join("".join(written).split()).count("".join(prompt.split())) == 4
    assert made[0].height < made[1].height
    assert sheet.thumbnail(made[0]).tobytes() == sheet.thumbnail(made[1]).tobytes()


def test_no_path_of_this_machine_is_saved(attribution, tmp_path):
    saved = save(attribution, tmp_path / "report")
    folder = str(next(iter(attribution.sheets.values())).parent)
    assert all(folder not in p.read_text("utf-8") for p in (saved.html, saved.json, saved.csv))
