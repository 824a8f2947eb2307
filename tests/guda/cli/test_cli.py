"""The command line: the whole job on the tiny model, and one line for every bad input."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from guda.cli import main, parser
from guda.config import ElboConfig, MemoryConfig, SampleConfig, UnlearnConfig
from guda.groups.pictures import save_png

ROOT = Path(__file__).parents[3]
QUICK = ["--steps", "6", "--lr", "0.01", "--rank", "2", "--device", "cpu"]
QUICK += ["--batch-size", "3", "--retain-batch-size", "3"]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "fox.png"
    save_png(torch.rand(3, 40, 32, generator=torch.Generator().manual_seed(0)), path)
    return path


@pytest.fixture
def ready(backbone, make_lora, make_set, tmp_path):
    """A set that passed its gates."""
    loras = {n: make_lora(backbone, s) for n, s in (("dots", 1.0), ("waves", 0.0))}
    make_set(tmp_path / "ready", backbone, loras)
    return tmp_path / "ready"


def test_unlearn_and_attribute(model_folder, groups_folder, picture, tmp_path, capsys):
    out = tmp_path / "new" / "set"
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(groups_folder)]
    assert main([*argv, "--out", str(out), "--json", *QUICK]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["folder"] == str(out)
    assert [g["group"] for g in made["groups"]] == ["dots", "stripes", "waves"]
    assert all(Path(g["file"]).is_file() for g in made["groups"])
    recipe = json.loads((out / "counterfactuals.json").read_text("utf-8"))["recipe"]
    assert (recipe["steps"], recipe["lr"], recipe["retain_batch_size"]) == (6, 0.01, 3)

    assert main([*argv, "--out", str(out), *QUICK]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["dots", "stripes", "waves"]
    for line, group in zip(lines, made["groups"], strict=True):
        assert ("passed" if group["passed"] else "REFUSED") in line
        assert group["reason"] in line and group["file"] in line

    attribute = ["attribute", "--model", str(model_folder), "--counterfactuals", str(out)]
    attribute += ["--image", str(picture), "--prompt", "a fox", "--evaluations", "8"]
    attribute += ["--device", "cpu", "--out", str(tmp_path / "deep" / "report")]
    for group in made["groups"]:
        code = main([*attribute, "--style", group["group"], "--json"])
        told = capsys.readouterr()
        assert code == (0 if group["passed"] else 2)
        if not group["passed"]:
            assert group["reason"] in told.err and told.out == ""


def test_attribute(model_folder, ready, picture, tmp_path, capsys):
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


def test_names_that_the_code_page_lacks(model_folder, ready, picture, tmp_path, monkeypatch):
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


def test_prompt_only_groups(model_folder, tmp_path, capsys):
    (tmp_path / "styles.txt").write_text("Dots: round dots\nLines: thin lines\n", "utf-8")
    (tmp_path / "contents.txt").write_text("a fox\na cat\na house\na tree\n", "utf-8")
    argv = ["unlearn", "--model", str(model_folder), "--styles", str(tmp_path / "styles.txt")]
    argv += ["--contents", str(tmp_path / "contents.txt"), "--out", str(tmp_path / "set")]
    argv += ["--sample-pictures", "4", "--sample-steps", "2", "--json", *QUICK, "--steps", "1"]
    assert main(argv) == 0
    assert [g["group"] for g in json.loads(capsys.readouterr().out)["groups"]] == ["Dots", "Lines"]
    assert len(list((tmp_path / "set" / "pictures").rglob("*.png"))) == 8
    # An unknown style is refused before any picture is drawn.
    argv[argv.index("4")] = "5"
    assert main([*argv, "--style", "Waves"]) == 2
    assert 'there is no group "Waves"' in capsys.readouterr().err
    assert len(list((tmp_path / "set" / "pictures").rglob("*.png"))) == 8


def test_a_real_process(model_folder, ready, picture, tmp_path):
    command = [sys.executable, "-B", "-m", "guda", "attribute", "--model", str(model_folder)]
    command += ["--counterfactuals", str(ready), "--image", str(picture), "--out", str(tmp_path)]
    command += ["--evaluations", "4", "--device", "cpu", "--json"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    scores = json.loads(run.stdout)["images"][0]["scores"]
    assert {s["group"] for s in scores} == {"dots", "waves"}
    said = [line for line in run.stderr.splitlines() if not line.startswith("[")]
    assert [line[:46] for line in said] == ["guda: warning: The model tiny does not explain"], said
    command += ["--image", "none.png"]
    bad = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert bad.returncode == 2 and bad.stdout == ""
    assert bad.stderr == "guda: none.png was not found; check the name and the folder.\n"


@pytest.mark.parametrize(
    ("command", "kind", "prefix"),
    [
        ("unlearn", UnlearnConfig, ""),
        ("unlearn", SampleConfig, "sample-"),
        ("unlearn", MemoryConfig, ""),
        ("attribute", ElboConfig, ""),
    ],
)
def test_options_are_the_settings(command, kind, prefix, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    needed = {
        "unlearn": ["--groups", "g", "--out", "o", "--model", "m"],
        "attribute": ["--counterfactuals", "c", "--image", "i", "--out", "o", "--model", "m"],
    }[command]
    parsed = vars(parser().parse_args([command, *needed]))
    for f in dataclasses.fields(kind):
        assert f"--{prefix}{f.name.replace('_', '-')} " in told
        by_model = f.metadata["large"] is not None
        assert parsed[f"{kind.__name__}.{f.name}"] == (None if by_model else f.default)


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
def test_bad_unlearn(model_folder, groups_folder, tmp_path, capsys, change, words):
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(groups_folder)]
    argv += ["--out", str(tmp_path / "set"), *QUICK, *change]
    _refused(argv, words, capsys)
    assert not (tmp_path / "set").exists()


def _refused(argv, words, capsys):
    assert main(argv) == 2
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("guda: ") and words in lines[0], told.err


def test_one_group_is_not_enough(model_folder, save_groups, tmp_path, capsys):
    folder = save_groups(tmp_path / "one", count=4, styles=("dots",))
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(folder)]
    _refused([*argv, "--out", str(tmp_path / "set")], 'there is only "dots"', capsys)


def test_a_truncated_picture_in_a_group(model_folder, save_groups, tmp_path, capsys):
    folder = save_groups(tmp_path / "groups", count=4)
    path = folder / "waves" / "3.png"
    path.write_bytes(path.read_bytes()[:-40])
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(folder)]
    _refused([*argv, "--out", str(tmp_path / "set"), *QUICK], f"{path} is damaged", capsys)


def test_styles_without_contents(model_folder, tmp_path, capsys):
    """Everyday subjects are taken; an empty file of contents is a mistake."""
    (tmp_path / "styles.txt").write_text("Dots: dots\nLines: lines\n", "utf-8")
    argv = ["unlearn", "--model", str(model_folder), "--styles", str(tmp_path / "styles.txt")]
    argv += ["--out", str(tmp_path / "set"), *QUICK]
    argv += ["--sample-steps", "1", "--sample-pictures", "4"]
    assert main(argv) == 0
    assert len(list((tmp_path / "set" / "pictures").rglob("*.png"))) == 8
    capsys.readouterr()
    (tmp_path / "contents.txt").touch()
    _refused([*argv, "--contents", str(tmp_path / "contents.txt")], "there are no contents", capsys)


def test_a_refused_checkpoint_is_one_line(groups_folder, tmp_path, capsys):
    path = tmp_path / "model.ckpt"
    path.touch()
    argv = ["unlearn", "--model", str(path), "--groups", str(groups_folder), "--resolution", "64"]
    _refused([*argv, "--out", str(tmp_path / "set")], "is a pickle (.ckpt)", capsys)


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
def test_bad_attribute(model_folder, ready, picture, tmp_path, capsys, change, words):
    cut = tmp_path / "cut.png"
    cut.write_bytes(picture.read_bytes()[:-60])
    (tmp_path / "file").touch()
    places = {"truncated": str(cut), "file": str(tmp_path / "file")}
    argv = ["attribute", "--model", str(model_folder), "--counterfactuals", str(ready)]
    argv += ["--image", str(picture), "--out", str(tmp_path / "report"), "--device", "cpu"]
    _refused([*argv, *(places.get(x, x) for x in change)], words, capsys)


@pytest.mark.parametrize("argv", [[], ["unlearn"], ["attribute", "--evaluations", "many"], ["x"]])
def test_a_malformed_command(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
