"""One run at a time in a folder, whatever becomes of the others or of the folder."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from guda.counterfactuals import load_set, unlearn_set
from guda.counterfactuals.set import MANIFEST
from guda.errors import BusyError, CounterfactualError, GroupsError, SaveError
from guda.files import lock
from guda.files.lock import Owner, owner, take
from guda.steps import drain

PATIENCE = 300
"""Seconds that another process may take on a busy machine."""
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def brief(quick):
    return quick.replace(steps=2, checkpoint_every=1)


def up_to(steps, group: str, done: int):
    for step in steps:
        if (step.stage, step.group, step.done) == ("unlearn", group, done):
            return


def process(work):
    made = multiprocessing.get_context("fork").Process(target=work)
    made.start()
    return made


def ended(made) -> int | None:
    made.join(PATIENCE)
    return made.exitcode


@forks
def test_two_runs_in_one_set_both_end_and_none_is_lost(backbone, groups, brief, tmp_path):
    running = unlearn_set(backbone, groups, brief, tmp_path, ["dots"])
    up_to(running, "dots", 1)

    def told(step):
        if step.stage == "wait" and not waits.is_set():
            assert str(step).startswith(f"wait for the run of process {parent} on")
            waits.set()

    def second():
        made = drain(unlearn_set(backbone, groups, brief, tmp_path, ["waves"]), told)
        assert made.names == ("waves",)

    parent, waits = os.getpid(), multiprocessing.get_context("fork").Event()
    other = process(second)
    assert waits.wait(PATIENCE), "it does not wait"
    assert drain(running).names == ("dots",)
    assert ended(other) == 0
    assert set(load_set(tmp_path).names) == {"dots", "waves"}
    assert sorted(os.listdir(tmp_path)) == [MANIFEST, "dots.safetensors", "waves.safetensors"]


@forks
def test_two_runs_of_the_same_style_train_once(backbone, groups, brief, tmp_path):
    running = unlearn_set(backbone, groups, brief, tmp_path, ["dots"])
    up_to(running, "dots", 2)

    def second():
        seen = []
        drain(unlearn_set(backbone, groups, brief, tmp_path, ["dots"]), seen.append)
        assert [s.loss for s in seen if s.stage == "unlearn"] == [None], "made before"

    other = process(second)
    drain(running)
    assert ended(other) == 0


@forks
def test_the_lock_of_a_killed_run_ends_with_it(tmp_path):
    def work():
        drain(take(tmp_path))
        os.kill(os.getpid(), signal.SIGKILL)

    killed = process(work)
    assert ended(killed) == -signal.SIGKILL
    left = owner(tmp_path)
    assert left is not None and left.process == killed.pid
    with drain(take(tmp_path), pytest.fail):
        now = owner(tmp_path)
        assert now is not None and now.is_here
    assert os.listdir(tmp_path) == []


def test_a_run_that_waits_for_itself_is_told_so(tmp_path):
    with (
        drain(take(tmp_path)),
        pytest.raises(BusyError, match=r"already being written to .* of this very process"),
    ):
        drain(take(tmp_path))
    with drain(take(tmp_path)):
        pass


def test_whoever_waits_can_stop(tmp_path):
    free, held = threading.Event(), threading.Event()

    def work():
        with drain(take(tmp_path)):
            held.set()
            free.wait(PATIENCE)

    other = threading.Thread(target=work)
    other.start()
    assert held.wait(PATIENCE)
    waiting = take(tmp_path)
    assert next(waiting).stage == next(waiting).stage == "wait"
    waiting.close()
    free.set()
    other.join()
    assert os.listdir(tmp_path) == []


def test_one_after_the_other_is_never_two_at_once(tmp_path, monkeypatch):
    """The lock file is removed and made anew all the time."""
    monkeypatch.setattr(lock, "INTERVAL", 0)
    inside, most = [], []

    def work():
        for _ in range(50):
            with drain(take(tmp_path / "set")):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert most == [1] * 200 and os.listdir(tmp_path) in ([], ["set"])


def test_a_folder_that_another_removes_meanwhile_is_made_anew(tmp_path, monkeypatch):
    """Between mkdir, which finds it there, and the look whether it is a folder."""
    folder, real, removed = tmp_path / "set", Path.is_dir, []
    folder.mkdir()

    def is_dir(path, **how):
        if path == folder and not removed:
            removed.append(folder.rmdir())
        return real(path, **how)

    monkeypatch.setattr(Path, "is_dir", is_dir)
    with drain(take(folder)):
        assert removed and os.listdir(folder) == [lock.NAME]


def test_an_unreadable_owner_is_waited_for_all_the_same(tmp_path):
    (tmp_path / lock.NAME).write_text("{")
    assert owner(tmp_path) is None
    with drain(take(tmp_path)):
        assert json.loads((tmp_path / lock.NAME).read_text())["process"] == os.getpid()
    assert str(Owner(7, 1, "x", "then")) == "process 7 on x, since then"


def test_a_file_system_without_locks_is_said_once_and_used(
    backbone, groups, brief, tmp_path, monkeypatch
):
    monkeypatch.setattr(lock, "_lock", lambda file: "no locks")
    steps = []
    drain(unlearn_set(backbone, groups, brief, tmp_path, ["dots"]), steps.append)
    assert [s.warning for s in steps if str(tmp_path) in s.warning] == [
        f"The file system of {tmp_path} has no locks: start no other run that uses it."
    ]


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a folder with an open file")
@pytest.mark.parametrize("after", [1, 2])
def test_a_folder_that_vanishes_is_an_error(backbone, groups, brief, tmp_path, after):
    folder = tmp_path / "set"
    running = unlearn_set(backbone, groups, brief, folder, ["dots"])
    up_to(running, "dots", after)
    shutil.rmtree(folder)
    with pytest.raises(SaveError) as caught:
        drain(running)
    assert str(folder) in str(caught.value) and "run again" in str(caught.value)
    assert not folder.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a folder with an open file")
def test_a_folder_that_was_replaced_is_an_error(backbone, groups, brief, tmp_path):
    folder = tmp_path / "set"
    running = unlearn_set(backbone, groups, brief, folder, ["dots", "waves"])
    up_to(running, "waves", 2)
    folder.rename(tmp_path / "moved")
    folder.mkdir()
    with pytest.raises(SaveError, match="was deleted, moved or replaced while this run"):
        drain(running)
    assert os.listdir(folder) == []
    assert load_set(tmp_path / "moved").names == ("dots",)


def test_a_lora_that_vanishes_meanwhile_is_an_error(backbone, groups, brief, tmp_path):
    running = unlearn_set(backbone, groups, brief, tmp_path, ["dots", "waves"])
    up_to(running, "waves", 2)
    (tmp_path / "dots.safetensors").unlink()
    with pytest.raises(CounterfactualError, match=r"dots\.safetensors was deleted while the run"):
        drain(running)


def test_a_refused_run_leaves_no_folder(backbone, groups, brief, tmp_path):
    with pytest.raises(GroupsError):
        drain(unlearn_set(backbone, groups, brief, tmp_path / "a" / "b", ["nobody"]))
    running = unlearn_set(backbone, groups, brief, tmp_path / "a" / "b")
    next(running)
    running.close()
    assert os.listdir(tmp_path) == []


def test_a_finished_set_in_a_read_only_folder_is_used(
    backbone, groups, brief, tmp_path, monkeypatch
):
    made = drain(unlearn_set(backbone, groups, brief, tmp_path, ["dots"]))
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setitem(unlearn_set.__globals__, "take", None)
    assert drain(unlearn_set(backbone, groups, brief, tmp_path, ["dots"])) == made
