"""A lease: one holder, taken over when that is gone, given back when it was taken by mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

from guda.cluster import lease, pulse
from guda.cluster.lease import Holder
from guda.errors import SaveError


def held_by(path, holder, age=0.0):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(holder)), "utf-8")
    then = time.time() - age
    os.utime(path, (then, then))


def test_one_of_many_has_it(tmp_path):
    path, got = tmp_path / "units" / "a.lease", []
    threads = [threading.Thread(target=lambda: got.append(lease.take(path))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (mine,) = filter(None, got)
    assert mine.beat() and lease.take(path) is None
    mine.release()
    assert not path.exists() and lease.take(path) is not None


@pytest.mark.parametrize(("age", "free"), [(0.0, False), (lease.STALE + 5, True)])
def test_another_machines_is_taken_when_its_heart_has_stopped(tmp_path, age, free):
    path = tmp_path / "a.lease"
    held_by(path, replace(Holder.here(), host="elsewhere", token="theirs"), age)
    assert (lease.take(path) is not None) == free
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.lease"]


def test_a_process_of_this_machine_that_has_ended_holds_nothing(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    path = tmp_path / "a.lease"
    held_by(path, replace(Holder.here(), process=ended.pid))
    mine = lease.take(path)
    assert mine is not None and mine.beat()


def test_a_number_that_was_given_again_is_told_apart(tmp_path):
    path = tmp_path / "a.lease"
    held_by(path, replace(Holder.here(), started=Holder.here().started - 60))
    assert lease.take(path) is not None


def test_who_has_lost_it_finds_out_and_takes_nothing_away(tmp_path):
    path = tmp_path / "a.lease"
    mine = lease.take(path)
    held_by(path, replace(Holder.here(), token="theirs"))
    assert not mine.beat()
    mine.release()
    assert lease.holder_of(path).token == "theirs"


def test_a_lease_that_was_just_taken_over_is_given_back(tmp_path, monkeypatch):
    """A slow one looked at the stale lease, and moves away the new one in its place."""
    path, real = tmp_path / "a.lease", os.replace
    held_by(path, replace(Holder.here(), host="elsewhere"), lease.STALE + 5)

    def late(source, target):
        held_by(path, replace(Holder.here(), host="third", token="new"))
        monkeypatch.setattr(lease.os, "replace", real)
        real(source, target)

    monkeypatch.setattr(lease.os, "replace", late)
    assert lease.take(path) is None
    assert lease.holder_of(path).token == "new"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SaveError, match="file"):
        lease.take(tmp_path / "file" / "a.lease")


def test_what_is_left_behind_is_swept(tmp_path):
    folder = tmp_path / "units"
    held_by(folder / "a.lease", replace(Holder.here(), host="elsewhere"), lease.STALE + 5)
    lease.sweep(folder)
    assert not folder.exists()
    held_by(folder / "b.lease", replace(Holder.here(), host="elsewhere"))
    (folder / "c.mark").touch()
    lease.sweep(folder)
    assert sorted(os.listdir(folder)) == ["b.lease", "c.mark"]


def test_a_unit_that_makes_no_step_hangs_and_its_heart_stops(monkeypatch):
    """By a clock of the test's own, as a busy machine may let a step take any time."""
    now, beats, hung = [0.0], [], threading.Event()
    monkeypatch.setattr(pulse, "time", SimpleNamespace(monotonic=lambda: now[0]))
    heart = SimpleNamespace(beat=lambda: beats.append(now[0]) or True, release=lambda: None)
    with pulse.Pulse(10.0, hung.set, beat=0.001) as steps:
        steps.lease = heart
        for _ in range(3):
            now[0] += 9
            steps.step()
            while now[0] not in beats:
                assert not hung.wait(0.001)
        now[0] += 11
        assert hung.wait(60)
    assert now[0] not in beats
