"""`attribute` without a set: styles of a file or a folder, answered for by the model itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from guda.cli import main

STYLES = "# two\nDots: dots | small round marks\nwaves\n"


@pytest.fixture
def asked(tmp_path, model_folder):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(tmp_path / "p.png")
    (tmp_path / "styles.txt").write_text(STYLES, "utf-8")
    return [
        *("attribute", "--model", str(model_folder), "--image", str(tmp_path / "p.png")),
        *("--out", str(tmp_path / "out"), "--evaluations", "8"),
    ]


def test_styles_of_a_file(asked, tmp_path, capsys):
    assert main([*asked, "--styles", str(tmp_path / "styles.txt"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counterfactuals"] == "direct" and told["unet_evaluations"] == 8 * 3
    assert told["estimate"]["mixture"] == "posterior"
    assert {s["group"] for s in told["images"][0]["scores"]} == {"Dots", "waves"}
    assert "nothing was unlearned" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_groups_of_a_folder_and_a_plan_without_doing_it(asked, groups_folder, tmp_path, capsys):
    argv = [*asked, "--groups", str(groups_folder), "--style", "dots", "--style", "waves"]
    assert main([*argv, "--plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["unet_evaluations"]["score"] == 8 * 3 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("waves\n", [], "There is waves alone to compare; give two styles"),
        ("", [], "There is no style to compare"),
        (STYLES, ["--style", "Oil"], "The style 'Oil' is not among those that are compared"),
        (STYLES, ["--template", "{style}"], 'the template is "{style}" without {content}'),
        (STYLES, ["--mixture", "best"], "invalid choice: 'best'"),
        (STYLES, ["--counterfactuals", "set"], "not allowed with argument --styles"),
    ],
)
def test_bad_styles_are_refused_in_one_line(asked, tmp_path, capsys, text, options, words):
    (tmp_path / "styles.txt").write_text(text, "utf-8")
    try:
        code = main([*asked, "--styles", str(tmp_path / "styles.txt"), *options])
    except SystemExit as stop:
        code = stop.code
    told = capsys.readouterr().err
    assert code == 2 and words in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists()
