"""*Unlearn Styles* and *Attribute to Styles* by two worker processes: the same as by one."""

from __future__ import annotations

import pytest

from guda.cluster.connect import connected
from tools.comfy.client import Comfy
from tools.comfy.graphs import upto, workflow

from .test_direct import WRITTEN
from .test_direct import graph as attributing

TIMEOUT = 300.0


@pytest.fixture(scope="module")
def address():
    """Of a scheduler with two workers, which keep the model from test to test."""
    with connected("local:2") as client:
        yield client.scheduler.address


def unlearning(name: str, cluster: str = "") -> dict:
    graph = upto(workflow(name), "unlearn")
    graph["unlearn"]["inputs"] |= {"cluster": cluster, "sheet": False, "steps": 8}
    return graph


def asking(cluster: str = "", **inputs) -> dict:
    asked = {"styles": WRITTEN, "evaluations": 4, "seed": 5, "cluster": cluster}
    return attributing(**asked | inputs)


def files(comfy: Comfy, name: str) -> dict[str, bytes]:
    folder = comfy.base / "models" / "loras" / "guda" / name
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_interrupted_on_a_cluster_and_continued_by_another(comfy: Comfy, address: str):
    """Another: workers that ComfyUI starts itself."""
    graph = unlearning("by-two", address)
    stopped = comfy.stopped(graph, "unlearn", 4, TIMEOUT)
    assert stopped.status == "interrupted" and stopped.error["node_id"] == "unlearn"
    (said,) = stopped.of("guda.stopped")
    assert said["text"].startswith("Kept: what the cluster has finished (0 of 3 units), and the")
    assert stopped.texts[-1] == ("unlearn", f"Stopped. {said['text']}")
    assert any("on the cluster, " in text for _, text in stopped.texts)
    assert [n for n in files(comfy, "by-two") if n.endswith(".resume")]

    resumed = comfy.run(unlearning("by-two", "local:2"), timeout=TIMEOUT)
    assert resumed.ok, (resumed.error, comfy.log_tail())
    first, total = resumed.progress("unlearn")[0]
    assert comfy.run(unlearning("by-one"), timeout=TIMEOUT).ok
    assert files(comfy, "by-two") == files(comfy, "by-one")
    assert first < total == 3 * 9
    assert comfy.log().count("Starting server") == 1, "a worker ran ComfyUI's main.py"


def test_scores_are_the_same(comfy: Comfy, address: str):
    there = comfy.run(asking(address), timeout=TIMEOUT)
    assert there.ok, (there.error, comfy.log_tail())
    assert not (comfy.base / "user" / "guda" / "parts").exists()
    kept = sorted(
        (comfy.base / "user" / "guda" / "scores").iterdir(), key=lambda p: p.stat().st_mtime
    )[-1]
    scores = kept.read_bytes()
    kept.unlink()
    here = comfy.run(asking(), timeout=TIMEOUT)
    assert here.ok and here.outputs["read_table"] == there.outputs["read_table"]
    assert kept.read_bytes() == scores


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"cluster": "tcp://127.0.0.1:9"}, "No scheduler answers at tcp://127.0.0.1:9"),
        ({"cluster": "tcp://10.0.0.1:8786"}, "allow it by the environment variable GUDA_CLUSTERS"),
        ({"cluster": "tcp://localhost@evil:1"}, "tcp://evil:1, which is not on this machine"),
        ({"cluster": "file:///etc"}, "cluster is 'file:///etc'; give local, local:2 or a"),
        ({"cluster": "local:1000"}, "but this machine has room for"),
        ({"cluster": "local", "schedule": "importance"}, "schedule is 'importance'"),
    ],
)
def test_what_a_cluster_cannot_do_is_said(comfy: Comfy, inputs: dict, words: str):
    result = comfy.run(asking(**inputs), timeout=TIMEOUT)
    assert result.status == "error" and words in result.message
