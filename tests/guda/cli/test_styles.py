"""`styles`: which of them the model knows, as a table, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json

import pytest

from guda.cli import main
from guda.groups.made_up import MADE_UP

STYLES = "\ufeff# two\nDots: dots | small round marks\nwaves\n"


@pytest.fixture
def asked(tmp_path, model_folder):
    (tmp_path / "styles.txt").write_text(STYLES, "utf-8")
    return ["styles", "--model", str(model_folder), "--styles", str(tmp_path / "styles.txt")]


def test_a_table_json_and_csv(asked, capsys):
    assert main(asked) == 0
    table = capsys.readouterr().out
    assert "| Dots | dots | " in table and "times as far as a made-up name" in table
    assert main([*asked, "--json", "--content", "a fox", "--content", "a cat"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [s["style"] for s in told["styles"]] == ["Dots", "waves"]
    assert told["contents"] == ["a fox", "a cat"]
    assert told["unet_evaluations"] == 2 * 2 * 10 + 2 * 2 * (1 + 2 + len(MADE_UP))
    assert main([*asked, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [r["phrase"] for r in rows] == ["dots", "waves"]
    assert all(float(r["low"]) <= float(r["times"]) <= float(r["high"]) for r in rows)


def test_a_plan_and_the_styles_of_a_folder(asked, groups_folder, capsys):
    argv = [*asked[:3], "--groups", str(groups_folder), "--style", "dots", "--plan", "--json"]
    assert main(argv) == 0
    plan = json.loads(capsys.readouterr().out)["unet_evaluations"]
    assert plan["styles"] == 6 * 2 * (1 + 1 + len(MADE_UP))


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", [], "there are no styles to ask for"),
        ("a: ink\nb: Ink\n", [], 'the styles "a" and "b" have the same phrase'),
        (STYLES, ["--content", "a fox"], "the contents are 'a fox'; give two"),
        (STYLES, ["--groups", "g"], "not allowed with argument --styles"),
    ],
)
def test_bad_styles_are_refused_in_one_line(asked, tmp_path, capsys, text, options, words):
    (tmp_path / "styles.txt").write_text(text, "utf-8")
    try:
        code = main([*asked, *options])
    except SystemExit as stop:
        code = stop.code
    told = capsys.readouterr().err
    assert code == 2 and words in told and told.count("\n") == 1
