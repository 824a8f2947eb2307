"""Recovery added to finished certificates: what changes of a set, and what does not."""

from __future__ import annotations

import json
import shutil

import pytest
from safetensors import safe_open

from guda.cli import main
from guda.counterfactuals import Entry, load_set
from guda.counterfactuals.lora_file import read_file
from guda.counterfactuals.manifest import read_manifest
from guda.errors import CounterfactualError
from guda.unlearning import recovery
from guda.unlearning.relearning import Relearning

from ..cli.said import unlearned


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(recovery, "LIMIT", 2)


def recovered(entry: Entry) -> recovery.Recovery:
    assert entry.certificate is not None and entry.certificate.recovery is not None
    return entry.certificate.recovery


def test_it_is_added_to_a_finished_set(
    model_folder, groups_folder, tmp_path, short, capsys, monkeypatch
):
    out = tmp_path / "set"
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(groups_folder), "--steps", "1"]
    argv += ["--out", str(out), "--style", "dots", "--rank", "2", "--batch-size", "2"]
    unlearned(argv)
    without, file = load_set(out), out / "dots.safetensors"
    tensors, metadata = read_file(file)
    argv.append("--recovery")
    of_two_runs = tmp_path / "of two runs"
    shutil.copytree(out, of_two_runs)
    manifest = of_two_runs / "counterfactuals.json"
    last = json.loads(manifest.read_text("utf-8"))
    last["recipe"]["heldout"] = 0.5  # as the last run for another style had it
    manifest.write_text(json.dumps(last), "utf-8")
    capsys.readouterr()
    assert main([*argv, "--plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert set(plan["unet_evaluations"]) == {"recover", "total"} and plan["may_end_before"]
    assert plan["seconds"] > 0 and plan["memory_bytes"] > 0 and plan["disk_bytes"] > 0
    unlearned(argv)
    made, (then, told) = load_set(out), read_file(file)
    (entry,) = made.entries
    measured = recovered(entry)
    assert measured.limit == 2
    assert str(measured) in entry.certified
    unlearned([*argv, "--out", str(of_two_runs)])
    assert recovered(load_set(of_two_runs).entries[0]) == measured
    assert made.id == without.id and entry.key == without.entries[0].key
    assert all((then[name] == tensors[name]).all() for name in tensors) and len(then) == len(
        tensors
    )
    with safe_open(file, "pt") as opened:
        noted = json.loads(opened.metadata()["guda.certificate"])
    assert recovery.Recovery.read(noted["recovery"]) == measured
    changed = {k for k in told if told[k] != metadata.get(k)}
    assert changed == {"guda.certificate"}
    assert not list(out.glob("*.resume")), "what is done needs no state"

    def never(*args):
        raise AssertionError("it was measured again")

    with monkeypatch.context() as patch:
        patch.setattr(Relearning, "recover", never)
        unlearned(argv)
    shutil.copytree(out, tmp_path / "bad")
    path = tmp_path / "bad" / "counterfactuals.json"
    data = json.loads(path.read_text("utf-8"))
    for broken in ([], {"limit": 2}, {"limit": 2, "taken": 2, "back": "soon"}):
        data["groups"][0]["certificate"]["recovery"] = broken
        path.write_text(json.dumps(data), "utf-8")
        with pytest.raises(CounterfactualError, match=r"recover|limit|taken"):
            read_manifest(tmp_path / "bad")
    del data["groups"][0]["certificate"]  # as before there were any
    path.write_text(json.dumps(data), "utf-8")
    capsys.readouterr()
    unlearned([*argv, "--out", str(tmp_path / "bad")])
    assert "'dots' was made before there were certificates" in capsys.readouterr().err


def test_groups_that_the_model_draws_have_their_pictures(model_folder, tmp_path, short):
    styles, out = tmp_path / "styles.txt", tmp_path / "set"
    styles.write_text("Dots: dots\nWaves: waves\n", "utf-8")
    contents = tmp_path / "contents.txt"
    contents.write_text("\n".join(f"shape {i}" for i in range(6)), "utf-8")
    argv = ["unlearn", "--model", str(model_folder), "--styles", str(styles), "--steps", "1"]
    argv += ["--contents", str(contents), "--sample-pictures", "6", "--sample-steps", "2"]
    argv += ["--out", str(out), "--rank", "2", "--batch-size", "2", "--recovery"]
    unlearned(argv)
    assert [recovered(e).limit for e in load_set(out).entries] == [2, 2]
