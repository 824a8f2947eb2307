"""Unlearning on two processes: the same bytes as on one, whoever sees which folder."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from guda.cli import main
from guda.cluster import lease
from guda.cluster import unlearn as clustered
from guda.cluster.connect import connected
from guda.cluster.job import Source
from guda.counterfactuals import make
from guda.errors import ClusterError
from guda.files.lock import NAME
from guda.steps import drain

from ..cli.said import QUICK


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def serial(model_folder, groups, twice, tmp_path_factory):
    """What one machine makes."""
    from guda.backbone.files.load import load

    folder = tmp_path_factory.mktemp("serial") / "set"
    drain(make.survey(load(model_folder), groups, twice, folder).run())
    return contents(folder)


@pytest.fixture
def work(backbone, groups, twice, tmp_path):
    return make.survey(backbone, groups, twice, tmp_path / "set")


def test_a_command_makes_the_same_set_as_one_machine(
    client, model_folder, groups_folder, serial, twice, tmp_path, capsys
):
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(groups_folder), *QUICK]
    argv += ["--warmup", "1", "--checkpoint-every", "2", "--repeats", "2", "--json"]
    argv += ["--out", str(tmp_path / "set"), "--cluster", client.scheduler.address]
    code = main(argv)
    told = capsys.readouterr()
    assert "(9 of 9 units)" in told.err and "http://127.0.0.1:" in told.err
    made = json.loads(told.out)["groups"]
    assert [g["group"] for g in made] == ["dots", "stripes", "waves"]
    assert code == (not all(g["usable"] for g in made))
    assert contents(tmp_path / "set") == serial

    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "set").iterdir()}
    assert main(argv) == code
    assert "units)" not in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "set").iterdir()} == before


def test_results_are_sent_back_where_the_folder_is_not_shared(
    client, work, source, serial, monkeypatch
):
    monkeypatch.setattr(clustered, "marked", lambda *_: nullcontext())
    made = drain(clustered.run(work, client, source, 60.0))
    assert not made.failures and contents(work.folder) == serial


def test_what_ends_by_itself_ends_where_it_does_on_one_machine(
    client, backbone, groups, source, twice, tmp_path
):
    ends_early = twice.replace(stop="auto", goal=0.42, steps=14)

    def work(name):
        return make.survey(backbone, groups, ends_early, tmp_path / name, ["dots", "waves"])

    def taken(made) -> list[int]:
        return [e.step for entry in made.entries for e in entry.ended]

    drain(work("serial").run())
    serial = contents(tmp_path / "serial")
    made = drain(clustered.run(work("set"), client, source, 60.0))
    assert not made.failures and contents(tmp_path / "set") == serial
    assert {10, 14} <= set(taken(made.set)), "this test wants early ends, and some at the limit"

    begun = work("begun").run()
    for step in begun:
        if (step.stage, step.done) == ("unlearn", 14 + 11):
            break  # in the second repetition, after its first look
    begun.close()
    making = work("begun")
    assert sum(done for _, done in making.left) == 10 + 10
    again = drain(clustered.run(making, client, source, 60.0))
    assert not again.failures and contents(tmp_path / "begun") == serial


def test_a_worker_with_another_model_is_not_used(client, work, save_model, tmp_path):
    client.wait_for_workers(2)
    other = Source(str(save_model(tmp_path / "other", seed=1)), device="cpu")
    said = []
    with pytest.raises(ClusterError, match="No worker of the cluster can do this job") as refusal:
        drain(clustered.run(work, client, other, 60.0), said.append)
    assert "--model-path-on-workers" in str(refusal.value)
    assert not list(work.folder.glob("*.safetensors"))
    assert not (work.folder / NAME).exists() and not (work.folder / lease.FOLDER).exists()
    assert sum("is not used" in step.warning for step in said) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cluster", "local:0"], "cluster is 'local:0'; give local, local:2"),
        (["--cluster", "nonsense://x"], "No scheduler answers at nonsense://x"),
        (["--cluster", "local", "--tls-ca", "x"], "tls-ca is given alone"),
        (["--tls-key", "x"], "tls-key is given without a cluster"),
        (["--cluster", "local", "--patience", "0"], "patience is 0; give seconds"),
    ],
)
def test_a_cluster_is_refused_in_one_line(
    model_folder, groups_folder, tmp_path, capsys, options, words
):
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(groups_folder), *QUICK]
    assert main([*argv, "--out", str(tmp_path / "set"), *options]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("guda: ") and words in line
    assert not list((tmp_path).rglob("*.safetensors"))


def test_without_dask_the_remedy_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with (
        pytest.raises(ClusterError, match=r"pip install \"guda-attribution\[cluster\]\""),
        connected("local"),
    ):
        pass
