"""`guda attribute`: the report, what is printed, and one line for every bad input."""

from __future__ import annotations

import io
import json
import shutil

import pytest

from guda.cli import main

from .said import refused


def test_what_is_printed_is_what_the_report_says(model_folder, ready, picture, tmp_path, capsys):
    argv = ["attribute", "--model", str(model_folder), "--counterfactuals", str(ready)]
    argv += ["--image", str(picture), str(picture), "--prompt", "a fox", "--prompt", "a cat"]
    argv += ["--evaluations", "8", "--schedule", "uniform", "--device", "cpu"]
    out = tmp_path / "deep" / "report"
    assert main([*argv, "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "attribution.json").read_text("utf-8"))
    assert [i["prompt"] for i in printed["images"]] == ["a fox", "a cat"]
    assert {p.name for p in out.iterdir()} >= {
        "report.html", "attribution.json", "attribution.csv", "attribution.md", "chart-1.png"
    }  # fmt: skip
    assert main([*argv, "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert f"Report: {out / 'report.html'}" in told.out and "fox.png" in told.out
    assert "score dots" in told.err
    assert main([*argv, "--out", str(out), "--json", "--style", "dots"]) == 0
    assert "waves" not in capsys.readouterr().out


def test_names_that_the_code_page_lacks_are_printed_escaped(
    model_folder, ready, picture, tmp_path, monkeypatch
):
    """As on a Windows where the output goes into a file."""
    told = io.TextIOWrapper(io.BytesIO(), "cp1252")
    monkeypatch.setattr("sys.stdout", told)
    argv = ["attribute", "--model", str(model_folder), "--counterfactuals", str(ready)]
    argv += ["--image", str(shutil.copy(picture, tmp_path / "\u7d75.png")), "--device", "cpu"]
    for more in ([], ["--json"]):
        assert main([*argv, "--evaluations", "4", "--out", str(tmp_path / "out"), *more]) == 0
    told.flush()
    text = told.buffer.getvalue().decode("cp1252")
    assert text.count("\\u7d75.png") > 1 and f"Report: {tmp_path}" in text


BAD_ATTRIBUTE = [
    (["--model", "none"], "The model none does not exist"),
    (["--counterfactuals", "none"], "There is no counterfactual set in none"),
    (["--image", "none.png"], "none.png was not found"),
    (["--image", "truncated"], "is damaged or cut short"),
    (["--style", "nobody"], "'nobody' is not in the counterfactual set"),
    (["--evaluations", "7"], "evaluations is 7; give an even number"),
    (["--evaluations", "2"], "evaluations is 2; give an even number from 4 on"),
    (["--prompt", "a", "--prompt", "b"], "2 prompts were given for 1 pictures"),
    (["--out", "file"], "which is a file; give another folder."),
]


@pytest.mark.parametrize(("change", "words"), BAD_ATTRIBUTE)
def test_an_attribution_is_refused_in_one_line(
    model_folder, ready, picture, tmp_path, capsys, change, words
):
    cut = tmp_path / "cut.png"
    cut.write_bytes(picture.read_bytes()[:-60])
    (tmp_path / "file").touch()
    places = {"truncated": str(cut), "file": str(tmp_path / "file")}
    argv = ["attribute", "--model", str(model_folder), "--counterfactuals", str(ready)]
    argv += ["--image", str(picture), "--out", str(tmp_path / "report"), "--device", "cpu"]
    refused([*argv, *(places.get(x, x) for x in change)], words, capsys)
