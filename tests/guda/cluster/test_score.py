"""Many pictures: from three sources, the same rows on a cluster as here, each made once."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from guda.budget import warmup
from guda.cli import main
from guda.cluster.pictures import listed, shards
from guda.cluster.score import SCORES, SHARDS
from guda.errors import ImageError

from ..cli.said import refused


@pytest.fixture(scope="module")
def folder(groups_folder, tmp_path_factory):
    """Five pictures, one with a prompt, and one that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(5):
        (folder / f"{i}.png").write_bytes((groups_folder / "dots" / f"{i}.png").read_bytes())
    (folder / "1.txt").write_text("a shape\n", "utf-8")
    (folder / "3.png").write_bytes(b"none")
    return folder


@pytest.fixture(scope="module")
def tar(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("tar") / "pictures.tar"
    with tarfile.open(path, "w") as out:
        for file in sorted(folder.iterdir()):
            out.add(file, file.name)
    return path


@pytest.fixture
def argv(model_folder, tmp_path):
    styles = tmp_path / "styles.txt"
    styles.write_text("Dots: dots\nLines: lines\n", "utf-8")
    argv = ["score", "--model", str(model_folder), "--styles", str(styles), "--device", "cpu"]
    return [*argv, "--evaluations", "4", "--shard", "2", "--pictures"]


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / SCORES).read_text("utf-8").splitlines()]


def test_a_folder_a_list_and_a_tar_hold_the_same_pictures(folder, tar, tmp_path):
    table = tmp_path / "list.txt"
    lines = [f"{folder}/{i}.png" + ("\ta shape" if i == 1 else "") for i in range(5)]
    table.write_text("\n".join(lines), "utf-8")
    seen = [
        [(Path(w.name).name, w.prompt) for w in listed(source, "asked")]
        for source in (folder, tar, table)
    ]
    assert seen[0] == seen[1] == seen[2]
    assert seen[0] == [(f"{i}.png", "a shape" if i == 1 else "asked") for i in range(5)]
    one, two = (next(listed(source)).load(32) for source in (folder, tar))
    assert (one == two).all()
    assert [len(s) for s in shards(listed(folder), 2)] == [2, 2, 1]
    with pytest.raises(ImageError, match=r"3.png.*pictures.tar"):
        list(listed(tar))[3].load(32)


def test_a_cluster_scores_the_same_bytes_and_nothing_twice(client, argv, folder, tmp_path, capsys):
    argv = [*argv, str(folder), "--out"]
    assert main([*argv, str(tmp_path / "here")]) == 1  # one is no picture
    assert "1 of 5 pictures could not be read" in capsys.readouterr().err
    clustered = [*argv, str(tmp_path / "there"), "--cluster", client.scheduler.address]
    assert main(clustered) == 1
    here, there = ((tmp_path / x / SCORES).read_bytes() for x in ("here", "there"))
    assert here == there
    made = rows(tmp_path / "there")
    assert [r["image"] for r in made] == [f"{i}.png" for i in range(5)]
    assert "error" in made[3] and {s["group"] for s in made[0]["scores"]} == {"Dots", "Lines"}

    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "there" / SHARDS).iterdir()}
    assert len(before) == 3
    next(iter(before)).unlink()
    assert main(clustered) == 1
    assert (tmp_path / "there" / SCORES).read_bytes() == here
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "there" / SHARDS).iterdir()}
    assert sum(after[p] == t for p, t in before.items()) == 2


def test_pages_of_some_of_them(argv, folder, tmp_path, capsys):
    report = [x for x in argv if x not in ("--shard", "2")]
    report = ["report", *report[1:], str(folder), "--only", "4.png", "--json"]
    assert main([*report, "--out", str(tmp_path / "report")]) == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert image["image"] == "4.png" and (tmp_path / "report" / "report.html").is_file()
    report[report.index("4.png")] = "5.png"
    refused([*report, "--out", str(tmp_path / "report")], "only is '5.png'", capsys)


def test_the_plan_counts_evaluations_without_opening_a_picture(
    argv, folder, tmp_path, capsys, monkeypatch
):
    """By a pace of the test's own, as the model's is another each time."""
    monkeypatch.setattr(warmup, "scoring", lambda *_: 2.0)
    monkeypatch.setattr(warmup, "picture", lambda _: 8.0)
    argv = [*argv, str(folder), "--out", str(tmp_path / "out"), "--plan", "--json"]
    assert main([*argv, "--cluster", "local:8"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["unet_evaluations"] == 5 * 4 * 3 and plan["workers"] == 8
    assert plan["seconds"] == 5 * 4 * 3 * 2 + 5 * 8 == 8 * plan["seconds_on_workers"]
    assert not (tmp_path / "out").exists()


def test_what_is_no_source_is_refused(argv, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    refused([*argv, str(tmp_path / "none"), *out], "none was not found; give a folder", capsys)
    (tmp_path / "empty").mkdir()
    refused([*argv, str(tmp_path / "empty"), *out], "There are no pictures", capsys)
    assert not (tmp_path / "out").exists()
