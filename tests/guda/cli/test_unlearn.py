"""`guda unlearn`: a set from folders or prompts, and one line for every bad input."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from guda.cli import main
from guda.unlearning import train
from guda.unlearning.gate import gate_of

from .said import QUICK, refused

WORKED = (0, 1)
"""The exit codes of work that was done, whatever the gates say of a model that knows nothing."""


def test_a_set_is_made_and_attributed_to_as_far_as_it_passed(
    model_folder, groups_folder, picture, tmp_path, capsys, monkeypatch
):
    def gate(*asked):
        """The dots pass, the stripes do not; the waves as they do."""
        made = gate_of(*asked)
        rise = {"dots": 1.1, "stripes": 0.9}.get(asked[1].name)
        return replace(made, forget_without=rise * made.forget_full) if rise else made

    monkeypatch.setattr(train, "gate_of", gate)
    out = tmp_path / "new" / "set"
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(groups_folder)]
    assert main([*argv, "--out", str(out), "--json", *QUICK]) == 1
    told = capsys.readouterr()
    made = json.loads(told.out)
    assert made["folder"] == str(out)
    assert [g["group"] for g in made["groups"]] == ["dots", "stripes", "waves"]
    assert all(Path(g["file"]).is_file() for g in made["groups"])
    recipe = json.loads((out / "counterfactuals.json").read_text("utf-8"))["recipe"]
    assert (recipe["steps"], recipe["lr"], recipe["retain_batch_size"]) == (6, 0.01, 3)

    bad = [g for g in made["groups"] if not g["usable"]]
    assert [g["usable"] for g in made["groups"]][:2] == [True, False]
    said = [x for x in told.err.splitlines() if x.startswith("guda: refused: ")]
    for line, group in zip(said, bad, strict=True):
        assert f"{group['group']!r} in {out}" in line and "nlearn it again with " in line

    assert main([*argv, "--out", str(out), *QUICK]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["dots", "stripes", "waves"]
    for line, group in zip(lines, made["groups"], strict=True):
        assert ("passed" if group["usable"] else "REFUSED") in line
        assert group["reason"] in line and group["file"] in line

    attribute = ["attribute", "--model", str(model_folder), "--counterfactuals", str(out)]
    attribute += ["--image", str(picture), "--prompt", "a fox", "--evaluations", "8"]
    attribute += ["--device", "cpu", "--out", str(tmp_path / "deep" / "report")]
    for group in made["groups"]:
        code = main([*attribute, "--style", group["group"], "--json"])
        told = capsys.readouterr()
        assert code == (0 if group["usable"] else 2)
        if not group["usable"]:
            assert group["reason"] in told.err and told.out == ""
        code = main([*argv, "--out", str(out), *QUICK, "--style", group["group"]])
        assert code == (0 if group["usable"] else 1)
        assert ("guda: refused: " in capsys.readouterr().err) == (not group["usable"])


def test_a_finished_set_in_a_read_only_folder_is_told(
    model_folder, groups_folder, tmp_path, capsys, monkeypatch
):
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(groups_folder), *QUICK]
    argv += ["--style", "dots", "--out", str(tmp_path / "set")]
    assert main(argv) in WORKED
    told = capsys.readouterr().out

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", denied)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert main(argv) in WORKED
    assert capsys.readouterr().out == told
    assert main([*argv, "--steps", "7"]) == 2
    assert "cannot be written to (Permission denied)" in capsys.readouterr().err.splitlines()[-1]


def test_a_learning_rate_that_is_found_is_told(model_folder, groups_folder, tmp_path, capsys):
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(groups_folder), *QUICK]
    argv += ["--steps", "2", "--lr-probe", "auto", "--style", "waves", "--out", str(tmp_path)]
    assert main([*argv, "--json"]) in WORKED
    found = json.loads(capsys.readouterr().out)["learning_rate"]
    assert found["lr"] in [t["lr"] for t in found["trials"]] and len(found["trials"]) >= 3
    assert main(argv) in WORKED
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith(f"learning rate {found['lr']:g}, found by trials (lr 0.01: ")
    assert [line.split(":")[0] for line in lines] == ["waves"]


def test_prompt_only_groups_are_drawn_once_nothing_is_refused(model_folder, tmp_path, capsys):
    (tmp_path / "styles.txt").write_text("Dots: round dots\nLines: thin lines\n", "utf-8")
    (tmp_path / "contents.txt").write_text("a fox\na cat\na house\na tree\n", "utf-8")
    argv = ["unlearn", "--model", str(model_folder), "--styles", str(tmp_path / "styles.txt")]
    argv += ["--contents", str(tmp_path / "contents.txt"), "--out", str(tmp_path / "set")]
    argv += ["--sample-pictures", "4", "--sample-steps", "2", "--json", *QUICK, "--steps", "1"]
    assert main(argv) in WORKED
    assert [g["group"] for g in json.loads(capsys.readouterr().out)["groups"]] == ["Dots", "Lines"]
    assert len(list((tmp_path / "set" / "pictures").rglob("*.png"))) == 8
    # An unknown style is refused before any picture is drawn.
    argv[argv.index("4")] = "5"
    assert main([*argv, "--style", "Waves"]) == 2
    assert 'there is no group "Waves"' in capsys.readouterr().err
    assert len(list((tmp_path / "set" / "pictures").rglob("*.png"))) == 8


def test_styles_without_contents_take_everyday_subjects(model_folder, tmp_path, capsys):
    """Everyday subjects are taken; an empty file of contents is a mistake."""
    (tmp_path / "styles.txt").write_text("Dots: dots\nLines: lines\n", "utf-8")
    argv = ["unlearn", "--model", str(model_folder), "--styles", str(tmp_path / "styles.txt")]
    argv += ["--out", str(tmp_path / "set"), *QUICK]
    argv += ["--sample-steps", "1", "--sample-pictures", "4"]
    assert main(argv) in WORKED
    assert len(list((tmp_path / "set" / "pictures").rglob("*.png"))) == 8
    capsys.readouterr()
    (tmp_path / "contents.txt").touch()
    refused([*argv, "--contents", str(tmp_path / "contents.txt")], "there are no contents", capsys)


BAD_UNLEARN = [
    (["--model", "none"], "The model none does not exist"),
    (["--model", "x.ckpt"], "The model x.ckpt is a pickle"),
    (["--groups", "none"], "none was not found; give a folder"),
    (["--lr", "0"], "lr is 0.0; the least allowed is 1e-08."),
    (["--lr", "nan"], "lr is nan; give a finite number."),
    (["--rank", "0"], "rank is 0; the least allowed is 1."),
    (["--style", "nobody"], 'there is no group "nobody"; choose one of: dots, stripes, waves.'),
    (["--device", "abacus"], "device is 'abacus', which cannot be used here"),
]


@pytest.mark.parametrize(("change", "words"), BAD_UNLEARN)
def test_an_unlearning_is_refused_in_one_line(
    model_folder, groups_folder, tmp_path, capsys, change, words
):
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(groups_folder)]
    argv += ["--out", str(tmp_path / "set"), *QUICK, *change]
    refused(argv, words, capsys)
    assert not (tmp_path / "set").exists()


def test_one_group_is_not_enough(model_folder, save_groups, tmp_path, capsys):
    folder = save_groups(tmp_path / "one", count=4, styles=("dots",))
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(folder)]
    refused([*argv, "--out", str(tmp_path / "set")], 'there is only "dots"', capsys)


def test_a_truncated_picture_in_a_group_is_named(model_folder, save_groups, tmp_path, capsys):
    folder = save_groups(tmp_path / "groups", count=4)
    path = folder / "waves" / "3.png"
    path.write_bytes(path.read_bytes()[:-40])
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(folder)]
    refused([*argv, "--out", str(tmp_path / "set"), *QUICK], f"{path} is damaged", capsys)


def test_a_pickle_is_refused_in_one_line(groups_folder, tmp_path, capsys):
    path = tmp_path / "model.ckpt"
    path.touch()
    argv = ["unlearn", "--model", str(path), "--groups", str(groups_folder), "--resolution", "64"]
    refused([*argv, "--out", str(tmp_path / "set")], "is a pickle (.ckpt)", capsys)
