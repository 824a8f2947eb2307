"""Workers that die or hang, units that cannot be done, and runs that are ended: what is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guda.cluster import lease
from guda.cluster import unlearn as clustered
from guda.counterfactuals import make
from guda.files import temporary
from guda.files.lock import Lock
from guda.steps import drain

from .test_unlearn_cluster import contents

ROOT = Path(__file__).parents[3]
HANGS = """
import time
from guda.cluster import worker

def hang(desk, unit, real=worker.KINDS["unlearn"]):
    steps = real(desk, unit)
    for step in steps:
        yield step
        if step.stage == "unlearn" and step.done == 3:
            time.sleep(600)

worker.KINDS = {"unlearn": hang}
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs signals")


@pytest.fixture
def making(backbone, groups, recipe, tmp_path):
    return make.survey(backbone, groups, recipe, tmp_path / "set")


@pytest.fixture(scope="module")
def serial(model_folder, groups, recipe, tmp_path_factory):
    from guda.backbone.files.load import load

    folder = tmp_path_factory.mktemp("serial") / "set"
    drain(make.survey(load(model_folder), groups, recipe, folder).run())
    return contents(folder)


def holders(folder: Path) -> list[lease.Holder]:
    held = map(lease.holder_of, (folder / lease.FOLDER).glob("*.lease"))
    return [h for h in held if h is not None]


def test_a_worker_that_is_killed_loses_no_unit(client, making, source, serial):
    killed = []

    def kill(_):
        if not killed and any(making.folder.glob("*.resume")):
            for holder in holders(making.folder)[:1]:
                os.kill(holder.process, signal.SIGKILL)
                killed.append(holder.process)
                half = temporary.beside(making.folder / "dots.resume").name
                half = half.replace(f"-{os.getpid()}-", f"-{holder.process}-")
                (making.folder / half).touch()  # as when it was killed while it wrote

    made = drain(clustered.run(making, client, source, 60.0), kill)
    assert killed and not made.failures and contents(making.folder) == serial


def test_a_unit_that_hangs_goes_on_elsewhere(client, making, source, serial):
    client.run(exec, HANGS, {})
    before = set(client.run(os.getpid).values())
    made = drain(clustered.run(making, client, source, 10.0))
    assert not made.failures and contents(making.folder) == serial
    assert before - set(client.run(os.getpid).values())


def test_a_unit_that_fails_three_times_is_reported_and_the_others_go_on(
    client, making, source, serial
):
    blocked = making.folder / "stripes.safetensors"
    (blocked / "x").mkdir(parents=True)
    made = drain(clustered.run(making, client, source, 60.0))
    (failure,) = made.failures
    assert failure.unit.name == "stripes" and failure.tries == 3
    assert str(failure).startswith(f"stripes failed 3 times: {blocked} could not be written")
    assert made.set.names == ("dots", "waves")
    for name in ("dots.safetensors", "waves.safetensors"):
        assert (making.folder / name).read_bytes() == serial[name]
    (blocked / "x").rmdir()
    blocked.rmdir()
    made = drain(clustered.run(making, client, source, 60.0))
    assert not made.failures and made.set.names == ("dots", "stripes", "waves")


def test_two_runs_where_the_disk_has_no_locks_do_nothing_twice(
    client, making, source, serial, monkeypatch
):
    def unlocked(folder):
        folder.mkdir(exist_ok=True)
        return Lock(folder, os.open(folder, os.O_RDONLY), [], False)
        yield

    monkeypatch.setattr(clustered, "take", unlocked)
    monkeypatch.setattr(Lock, "check", lambda _: None)
    first = clustered.run(making, client, source, 60.0)
    while not holders(making.folder):
        next(first)
    drain(clustered.run(making, client, source, 60.0))
    made_at = {p: p.stat().st_mtime_ns for p in making.folder.glob("*.safetensors")}
    made = drain(first)
    assert made.set.names == ("dots", "stripes", "waves")
    assert {p: p.stat().st_mtime_ns for p in making.folder.glob("*.safetensors")} == made_at
    assert contents(making.folder) == serial


def heeds_ctrl_c() -> None:
    """A shell starts what runs in its background with SIGINT ignored, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_run_that_is_ended_is_resumed(
    model_folder, groups_folder, client, making, source, serial, number, code
):
    """A local cluster, so that its scheduler and its workers end with it."""
    command = [sys.executable, "-B", "-m", "guda", "unlearn", "--model", str(model_folder)]
    command += ["--groups", str(groups_folder), "--out", str(making.folder), "--device", "cpu"]
    command += ["--steps", "6", "--lr", "0.01", "--rank", "2", "--batch-size", "3"]
    command += ["--retain-batch-size", "3", "--warmup", "1", "--checkpoint-every", "2"]
    run = subprocess.Popen(
        [*command, "--cluster", "local:1"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=heeds_ctrl_c,
    )
    limit = time.monotonic() + 200
    workers: set[int] = set()
    while not any(making.folder.glob("*.resume")) and time.monotonic() < limit:
        assert run.poll() is None
        workers |= {h.process for h in holders(making.folder)}
        time.sleep(0.002)  # the whole run takes little longer
    os.killpg(run.pid, number) if number == signal.SIGINT else run.kill()
    _, said = run.communicate(timeout=100)
    assert run.returncode == code and b"Traceback" not in said
    if number == signal.SIGINT:
        assert said.decode().splitlines()[-1].startswith("guda: stopped; what was finished is kept")
    for process in workers:
        while Path(f"/proc/{process}").exists() and time.monotonic() < limit:
            time.sleep(0.05)
    assert list(making.folder.glob("*.resume"))
    made = drain(clustered.run(making, client, source, 60.0))
    assert not made.failures
    assert {k: v for k, v in contents(making.folder).items() if ".guda" not in k} == serial
