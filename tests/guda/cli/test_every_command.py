"""Every command: a process with its streams, options that are the settings, no traceback."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from guda.cli import main, parser
from guda.config import ElboConfig, MemoryConfig, SampleConfig, UnlearnConfig

ROOT = Path(__file__).parents[3]


def test_a_process_says_results_on_stdout_and_the_rest_on_stderr(
    model_folder, ready, picture, tmp_path
):
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


@pytest.mark.parametrize("argv", [[], ["unlearn"], ["attribute", "--evaluations", "many"], ["x"]])
def test_a_malformed_command_ends_without_a_traceback(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--groups", "--out", "--model"])
def test_the_home_folder_is_meant_in_every_shell(option, tmp_path, monkeypatch, capsys):
    """No shell puts it in the place of "~" in --out=~/set, and that of Windows nowhere."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file", "utf-8")
    styles = str(ROOT / "guda" / "demo" / "styles")
    given = {"--groups": styles, "--out": str(tmp_path / "set"), "--model": "demo"}
    given[option] = "~/taken"
    assert main(["unlearn", *(f"{k}={v}" for k, v in given.items())]) == 2
    assert str(tmp_path / "taken") in capsys.readouterr().err
    assert not (tmp_path / "~").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has UTF-8 for names of files")
def test_a_locale_that_misreads_names_is_told(save_groups, tmp_path):
    """In UTF-8 the style is "caf\u00e9", else prompts would ask for another word."""
    folder = save_groups(tmp_path / "g", count=4, styles=("caf\u00e9", "waves"))
    command = [sys.executable, "-B", "-m", "guda", "groups", str(folder)]
    settings = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    said = {}
    for mode in "01":
        env = os.environ | settings | {"PYTHONUTF8": mode}
        said[mode] = subprocess.run(command, env=env, capture_output=True, cwd=ROOT).stderr
    assert b"are read as ascii" in said["0"] and b"PYTHONUTF8=1" in said["0"]
    assert b"are read as" not in said["1"]
