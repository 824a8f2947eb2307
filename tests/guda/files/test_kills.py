"""Runs that are killed, or end by SIGTERM: nothing of them stays but what is whole."""

from __future__ import annotations

import dataclasses
import errno
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guda import files
from guda.cli import stopping
from guda.config import SampleConfig
from guda.counterfactuals import unlearn_set
from guda.counterfactuals.set import MANIFEST
from guda.errors import SaveError
from guda.files import temporary
from guda.files.png import is_whole
from guda.groups import from_prompts
from guda.groups.draw import generate_pictures, missing
from guda.report import save
from guda.steps import drain

from ..report.report_sample import sample

ROOT = Path(__file__).parents[3]
DRAWN = from_prompts({"Dots": "dots", "Lines": "lines"}, ("a fox",), pictures=4)
SAMPLING = SampleConfig(steps=1)
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


def killed_at(move: int, work) -> None:
    """Run `work` in a process of its own that is killed instead of its move number `move`."""

    def replaced():
        real, count = os.replace, [0]

        def replace(source, target):
            count[0] += 1
            if count[0] == move:
                os.kill(os.getpid(), signal.SIGKILL)
            real(source, target)

        files.os.replace = replace
        work()

    process = multiprocessing.get_context("fork").Process(target=replaced)
    process.start()
    process.join(300)
    assert process.exitcode == -signal.SIGKILL


def part(count: int):
    """A report's pictures, the first few."""
    told = sample()
    cut = {name: getattr(told, name)[:count] for name in ("images", "pictures", "maps", "profile")}
    return dataclasses.replace(told, **cut)


def left_behind(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob(".*"))


MOVES = {1: "the first state", 2: "a state set back", 3: "the next state", 4: "LoRA", 5: "manifest"}


@forks
@pytest.mark.parametrize("move", MOVES)
def test_after_a_kill_the_next_run_leaves_nothing_of_it(backbone, groups, quick, tmp_path, move):
    config = quick.replace(steps=2, checkpoint_every=1)

    def work():
        drain(unlearn_set(backbone, groups, config, tmp_path, ["dots"]))

    killed_at(move, work)
    assert any(name.endswith(".tmp") for name in left_behind(tmp_path))
    steps = []
    drain(unlearn_set(backbone, groups, config, tmp_path, ["dots"]), steps.append)
    told = [s.warning for s in steps if str(tmp_path) in s.warning]
    assert len(told) == (move == 5), "the LoRA is there, and tells what the manifest would"
    assert all(f"{MANIFEST} is missing; the set was read from its LoRAs" in text for text in told)
    first = min((s.done for s in steps if s.loss is not None), default=3)
    assert first == {1: 1, 2: 2, 3: 2}.get(move, 3), "goes on from the last whole state"
    assert sorted(os.listdir(tmp_path)) == [MANIFEST, "dots.safetensors"]


@forks
def test_after_a_kill_the_pictures_and_the_report_are_whole(backbone, tmp_path):
    cache, report, told = tmp_path / "pictures", tmp_path / "report", part(1)

    def work():
        drain(generate_pictures(backbone, DRAWN, SAMPLING, cache))

    killed_at(2, work)
    assert len(left_behind(cache)) == 1
    drain(generate_pictures(backbone, DRAWN, SAMPLING, cache))
    killed_at(2, lambda: save(told, report))
    assert len(left_behind(report)) == 1 and not (report / "attribution.json").exists()
    save(told, report)
    assert left_behind(tmp_path) == []


def test_temporary_files_of_living_processes_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "workshop")
    host = temporary.beside(tmp_path / "x").name.split("-")[1]
    own, dead = temporary.beside(tmp_path / "x"), f".guda-{host}-{2**22 + 1}-0123456789ab.tmp"
    abroad, old = ".guda-ffffffff-1-0123456789ab.tmp", ".guda-ffffffff-2-0123456789ab.tmp"
    earlier, foreign = ".0123456789ab.safetensors", ".gitignore"
    reused = f".guda-{host}-{os.getpid()}-0123456789ab.tmp"  # by a younger process
    for name in (own.name, dead, abroad, old, earlier, foreign, reused):
        (tmp_path / name).touch()
    os.utime(tmp_path / old, (0, 0))
    os.utime(tmp_path / reused, (0, 0))
    assert temporary.sweep(tmp_path) == 4
    assert sorted(os.listdir(tmp_path)) == sorted([own.name, abroad, foreign])
    assert temporary.sweep(tmp_path, alone=True) == 2 and os.listdir(tmp_path) == [foreign]
    assert temporary.sweep(tmp_path / "none") == 0 and "workshop" not in own.name


@pytest.mark.parametrize("bit", [8, 8 * 20 + 3, 8 * 45, 8 * 60, -8 * 6, -1])
def test_a_damaged_picture_is_drawn_again(backbone, tmp_path, bit):
    drawn = drain(generate_pictures(backbone, DRAWN, SAMPLING, tmp_path))
    path = drawn["Dots"].examples[0].path
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    assert not is_whole(path) and missing(backbone, DRAWN, SAMPLING, tmp_path) == 1
    steps = []
    drain(generate_pictures(backbone, DRAWN, SAMPLING, tmp_path), steps.append)
    assert [s.warning for s in steps if str(tmp_path) in s.warning] == [
        f"The generated picture {path} was damaged and is drawn again."
    ]
    assert path.read_bytes() == whole and missing(backbone, DRAWN, SAMPLING, tmp_path) == 0


def test_a_png_is_whole_from_end_to_end(tmp_path):
    path = tmp_path / "x.png"
    assert not is_whole(path) and not is_whole(tmp_path)
    chunk = b"\0\0\0\0IEND\xaeB`\x82"
    for data, whole in ((b"", False), (b"GIF89a", False), (b"\x89PNG\r\n\x1a\n", False)):
        path.write_bytes(data)
        assert is_whole(path) == whole
    for tail, whole in ((chunk, True), (chunk + b"x", False), (chunk[:-1], False)):
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + tail)
        assert is_whole(path) == whole


def test_a_folder_that_is_used_again_keeps_no_file_of_the_earlier_report(tmp_path):
    save(part(2), tmp_path, top=2)
    assert (tmp_path / "heatmap-2-twemoji.png").exists()
    mine = [tmp_path / name for name in ("notes.txt", "card-x.png", "my-chart-1.png")]
    for path in mine:
        path.touch()
    save(part(1), tmp_path, top=1)
    assert set(os.listdir(tmp_path)) == {path.name for path in mine} | {
        "attribution.json", "attribution.csv", "attribution.md", "report.html",
        "card-1.png", "chart-1.png", "heatmaps-1.png", "heatmap-1-twemoji.png",
    }  # fmt: skip


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_late_leaves_the_old_file(tmp_path, monkeypatch, number):
    """Some file systems tell of a full disk only when the data is to reach it."""
    path, real = tmp_path / "a.resume", os.fsync
    files.write_bytes(path, b"old")

    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(SaveError, match=os.strerror(number)):
        files.write_bytes(path, b"new")
    monkeypatch.setattr(files.os, "fsync", real)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.resume"]


def test_every_file_reaches_the_disk_before_it_is_moved(tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            files.os, name, lambda *a, name=name, real=real: (done.append(name), real(*a))[1]
        )
    files.write_atomically(tmp_path / "x.png", lambda path: path.write_bytes(b"x"))
    assert done[:2] == ["fsync", "replace"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_sigterm_ends_a_run_as_ctrl_c_does(model_folder, groups_folder, tmp_path):
    command = [sys.executable, "-B", "-m", "guda", "unlearn", "--model", str(model_folder)]
    command += ["--groups", str(groups_folder), "--out", str(tmp_path / "set"), "--device", "cpu"]
    command += ["--steps", "200", "--rank", "2", "--checkpoint-every", "1"]
    run = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE
    )
    state, limit = tmp_path / "set" / "dots.resume.old", time.monotonic() + 120
    while not state.exists() and run.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    run.terminate()
    _, said = run.communicate(timeout=300)
    assert run.returncode == 143
    assert said.decode().splitlines()[-1] == (
        "guda: stopped; what was finished is kept, run again to continue."
    )
    assert b"Traceback" not in said
    left = set(os.listdir(tmp_path / "set"))
    assert state.name in left, "the last state may just have become the one before"
    assert left <= {"dots.resume", state.name}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_the_handler_is_the_callers_again(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(stopping.Terminated), stopping.terminable():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signal.getsignal(signal.SIGTERM) == before
