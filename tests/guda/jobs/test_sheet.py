"""The sheet beside a LoRA: what it shows, and that it is drawn once."""

from __future__ import annotations

import pytest
import torch

from guda.backbone import build
from guda.counterfactuals import load_set
from guda.files.png import is_whole, save_with_text, text_of
from guda.jobs import sheet
from guda.jobs.unlearn import UnlearnRequest, survey
from guda.report.sheet import with_and_without
from guda.steps import drain

from ..cli.said import unlearned


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(sheet, "DRAWING", sheet.DRAWING.replace(steps=2))


def drawn(backbone, groups, made) -> sheet.Sheet:
    found = drain(sheet.sheet(backbone, groups, made, made.entries[0]))
    assert found is not None
    return found


def test_with_the_style_and_without(backbone, groups, make_lora, make_set, tmp_path, few):
    still = make_set(tmp_path / "still", backbone, {"waves": make_lora(backbone, 0.0)})
    shown = drawn(backbone, groups, still)
    assert (shown.style, shown.kept) == ("waves", "dots")
    assert shown.prompts == (
        "shape 0, in waves style",
        "shape 1, in waves style",
        "shape 0, in dots style",
        "shape 1, in dots style",
    )
    assert shown.pictures.shape == (2, 4, 3, 32, 32)
    assert torch.equal(shown.pictures[0], shown.pictures[1]), "an untouched LoRA changes nothing"
    away = make_set(tmp_path / "away", backbone, {"waves": make_lora(backbone, 0.5)})
    other = drawn(backbone, groups, away)
    assert torch.equal(other.pictures[0], shown.pictures[0])
    assert not torch.equal(other.pictures[1], shown.pictures[1])
    image = with_and_without(other.style, other.kept, other.prompts, other.pictures)
    assert image.width > 4 * 128 and image.height > 2 * 128


def test_a_model_without_prompts_has_none(groups, make_lora, make_set, tmp_path):
    model = build.digits(0)
    made = make_set(tmp_path / "set", model, {"dots": make_lora(model, 0.0)})
    assert drain(sheet.sheet(model, groups, made, made.entries[0])) is None


def test_it_is_drawn_once_for_every_lora(model_folder, groups_folder, tmp_path, few):
    out = tmp_path / "set"
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(groups_folder)]
    argv += ["--out", str(out), "--style", "dots", "--rank", "2", "--batch-size", "2", "--sheet"]
    unlearned([*argv, "--steps", "1"])
    made, path = load_set(out), out / "dots.png"
    assert sheet.path_of(made, made.entries[0]) == path and is_whole(path)
    assert text_of(path)[sheet.KEY] == made.entries[0].key
    before = path.stat().st_mtime_ns
    unlearned([*argv, "--steps", "1"])
    assert path.stat().st_mtime_ns == before
    unlearned([*argv, "--steps", "2"])
    assert text_of(path)[sheet.KEY] == load_set(out).entries[0].key != made.entries[0].key
    path.write_bytes(path.read_bytes()[:-9])
    assert text_of(path) == {} and not sheet.is_drawn(load_set(out), load_set(out).entries[0])


def test_drawing_goes_on_where_it_ended(backbone, groups, quick, tmp_path, few):
    names = ["dots", "waves"]
    one = quick.replace(steps=1)
    work = survey(UnlearnRequest(backbone, groups, tmp_path / "set", one, names))
    assert sheet.missing(work) == 2
    made = drain(work.run())
    steps = sheet.sheets(backbone, work.groups, made, with_and_without)
    for step in steps:
        if step.stage == "sheet" and step.group == "waves":
            break  # the first style's is there
    steps.close()
    first = tmp_path / "set" / "dots.png"
    assert [p.name for p in (tmp_path / "set").glob("*.png")] == ["dots.png"]
    before = first.stat().st_mtime_ns
    again = survey(work.request)
    assert not again.left and sheet.missing(again) == 1
    plan = drain(sheet.priced(again.price(), backbone, sheet.missing(again)))
    assert plan.evaluations == {"sheet": 2 * 4 * 2 * 2} and "(32 sheet); about" in str(plan)
    assert plan.seconds > 0 and plan.memory is not None
    made = drain(again.run())
    drain(sheet.sheets(backbone, again.groups, made, with_and_without))
    assert list(sheet.of_set(made)) == ["dots", "waves"]
    assert first.stat().st_mtime_ns == before
    assert sheet.missing(survey(work.request)) == 0


def test_it_is_planned(backbone, groups, quick, make_lora, make_set, tmp_path):
    rows = []
    backbone.unet.register_forward_hook(lambda _, args, out: rows.append(len(out.sample)))
    made = make_set(tmp_path / "set", backbone, {"dots": make_lora(backbone, 0.0)})
    drawn(backbone, groups, made)
    asked = sum(rows)
    work = survey(UnlearnRequest(backbone, groups, tmp_path / "new", quick, ["dots"]))
    plan = drain(sheet.priced(work.price(), backbone, len(work.left)))
    assert plan.evaluations["sheet"] == asked


def test_texts_come_back(tmp_path):
    image = with_and_without("a", "b", ["p"] * 4, torch.rand(2, 4, 3, 8, 8))
    save_with_text(image, tmp_path / "x.png", {"k": "\u00e4 v"})
    assert text_of(tmp_path / "x.png") == {"k": "\u00e4 v"}
    assert text_of(tmp_path / "none.png") == {}
