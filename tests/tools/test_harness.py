"""The harness itself, with ComfyUI's own nodes: a failure here is not the pack's."""

from __future__ import annotations

import socket
import subprocess
import sys

import psutil
import pytest
from PIL import Image

from tools.comfy.browser import ComfyPage
from tools.comfy.client import Comfy, ComfyError
from tools.comfy.graphs import changed, upto, workflow
from tools.comfy.server import PACK_ROOT, reserved_port


def picture(color: int) -> dict:
    """EmptyImage -> PreviewImage; another colour is another cache entry."""
    size = {"width": 64, "height": 32, "batch_size": 1}
    return {
        "1": {"class_type": "EmptyImage", "inputs": size | {"color": color}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }


def test_run_gives_outputs(comfy: Comfy):
    result = comfy.run(picture(0x3366CC), timeout=60)
    assert result.ok and result.executed == ["1", "2"]
    (image,) = result.outputs["2"]["images"]
    assert comfy.view(**image).startswith(b"\x89PNG")
    assert "1" in comfy.run(picture(0x3366CC), timeout=60).cached


def test_upload_then_load(comfy: Comfy, tmp_path):
    Image.new("RGB", (20, 10), "red").save(tmp_path / "red.png")
    graph = picture(0)
    graph["1"] = {
        "class_type": "LoadImage",
        "inputs": {"image": comfy.upload(tmp_path / "red.png")},
    }
    assert comfy.run(graph, timeout=60).ok


def test_invalid_graph_is_refused(comfy: Comfy):
    with pytest.raises(ComfyError, match="prompt_no_outputs"):
        comfy.run({"1": picture(0)["1"]}, timeout=60)


def test_error_is_reported(comfy: Comfy):
    graph = picture(1)
    graph["2"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["1", 0], "filename_prefix": "../outside"},
    }
    result = comfy.run(graph, timeout=60)
    assert result.status == "error"
    assert "outside the output folder" in result.message and result.traceback


@pytest.mark.parametrize("nodes2", [False, True], ids=["classic", "nodes2"])
def test_page_runs_a_graph(page: ComfyPage, tmp_path, nodes2: bool):
    if nodes2:
        page.use_nodes2()
    page.load(picture(0xCC6633 + nodes2))
    entry = page.run(timeout=60)
    assert entry["status"]["status_str"] == "success"
    assert page.node(2)["type"] == "PreviewImage"
    assert page.graph_to_prompt()["1"]["inputs"]["color"] == 0xCC6633 + nodes2
    assert page.locator("[data-node-id]").count() == (2 if nodes2 else 0)
    assert page.screenshot(tmp_path / "page.png").stat().st_size > 10_000
    assert not page.errors()


@pytest.mark.skipif(sys.platform != "linux", reason="no two sockets may share a port there")
def test_a_port_is_kept_for_the_server_alone():
    port, held = reserved_port()
    with held, socket.socket() as another, socket.create_server(("127.0.0.1", port)):
        with pytest.raises(OSError, match="in use"):
            another.bind(("127.0.0.1", port))
        socket.create_connection(("127.0.0.1", port), 10).close()


def test_a_run_is_interrupted_where_it_was_to_be(comfy: Comfy):
    """However late the test speaks: there the server waits for it."""
    graph = changed(upto(workflow(), "see_groups"), "groups", seed=11, batch_size=12)
    stopped = comfy.stopped(graph, "groups", 4, timeout=60)
    assert stopped.status == "interrupted" and stopped.progress("groups")[-1] == (4, 36)


STARTED = {
    "server": """
import subprocess, sys
from tools.comfy.server import _ends_with_the_tests
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                 start_new_session=True, preexec_fn=_ends_with_the_tests)
print("up", flush=True)
sys.stdin.read()
""",
    "browser": """
import sys
from tools.comfy.chromium import launched_chromium
with launched_chromium():
    print("up", flush=True)
    sys.stdin.read()
""",
}


@pytest.mark.parametrize("what", STARTED)
def test_nothing_is_left_behind_when_the_tests_are_killed(what: str):
    command = [sys.executable, "-c", STARTED[what]]
    run = subprocess.Popen(command, cwd=PACK_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert run.stdout.readline().strip() == b"up"
    children = psutil.Process(run.pid).children(recursive=True)
    assert children
    run.kill()
    run.wait()
    _, left = psutil.wait_procs(children, timeout=60)
    assert not left
