"""`check`: the built-in model works, one that was never trained does not, and both are told."""

from __future__ import annotations

import json

import pytest

from guda.cli import main
from guda.unlearning import recovery

SHORT = ["--sample-pictures", "8", "--sample-steps", "6"]
TINY = ["--sample-pictures", "4", "--sample-steps", "2", "--steps", "2", "--rank", "2"]


@pytest.fixture
def told(capsys):
    def told(argv: list[str], code: int) -> str:
        assert main(argv) == code
        return capsys.readouterr().out

    return told


def test_the_built_in_model_works(told, tmp_path):
    styles = ["--style", "Ink: ink", "--style", "Blob: noto blob", "--steps", "14"]
    said = told(["check", "--model", "demo", "--out", str(tmp_path), *styles, *SHORT], 0)
    assert said.startswith("works: demo, float32, on cpu\n")
    assert f"To attach to a report: {tmp_path / 'check.json'}" in said
    found = json.loads((tmp_path / "check.json").read_text("utf-8"))
    assert found["works"] and found["model"]["latent_shape"] == [4, 16, 16]
    errors = list(found["relative_error"].values())
    assert errors == sorted(errors, reverse=True) and errors[0] < 0.5 and errors[-1] < 0.02
    assert [s["name"] for s in found["styles"]] == ["Ink", "Blob"]
    for style in found["styles"]:
        assert style["certificate"]["verdict"] in ("weak", "certified") and style["steps"] == 14
        assert set(found["questions"][0]["loras"]) == {"Ink", "Blob"}
    assert found["right"]["direct"] == len(found["questions"]) == 4
    assert found["seconds"]["unlearn Ink"] > 0 and found["memory_bytes"] > 1 << 28


def test_an_untrained_model_does_not_work(told, tmp_path, model_folder, monkeypatch):
    monkeypatch.setattr(recovery, "LIMIT", 2)
    asked = ["check", "--model", str(model_folder), "--out", str(tmp_path), *TINY, "--recovery"]
    plan = json.loads(told([*asked, "--plan", "--json"], 0))["unet_evaluations"]
    assert plan["questions"] == 4 * 2 * 2 and plan["score"] == 4 * (64 + 16) * 3
    assert plan["recover"] > 2 * 2 * 2 * 16 and not list(tmp_path.iterdir())
    found = json.loads(told([*asked, "--json"], 1))
    assert found == json.loads((tmp_path / "check.json").read_text("utf-8"))
    assert not found["works"]
    measured = [s["certificate"]["recovery"] for s in found["styles"]]
    assert len(measured) == 2 and all(m["limit"] == 2 for m in measured)
    assert any("does not explain the pictures" in w for w in found["warnings"])
    refused = [
        w for w in found["warnings"] if w.startswith("Nothing could be asked with the LoRAs")
    ]
    assert bool(refused) == (found["questions"][0]["loras"] is None)
    assert found["questions"][0]["direct"] is not None
    assert told([*asked], 1).startswith("DOES NOT WORK: ")
    again = json.loads(told([*asked, "--plan", "--json"], 0))
    assert again["steps"] == 0 and again["seconds"] > 0, "the questions are asked anew"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--style", "ink"], 'there is only "ink": unlearning one group needs other groups'),
        (["--steps", "0"], "steps is 0; the least allowed is 1"),
        (["--contents", "{}"], "which lists 2; list 3 at least"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(options, words, tmp_path, capsys):
    listed = tmp_path / "contents.txt"
    listed.write_text("a fox\na cat\n", "utf-8")
    options = [o.format(listed) for o in options]
    assert main(["check", "--model", "demo", "--out", str(tmp_path / "out"), *options]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
