"""Memory in ComfyUI: asked for before work, given back after it, however the work ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tools.comfy.server import find_comfyui

ROOT = Path(__file__).parents[2]
SCRIPT = """
import importlib.util, json, sys
sys.argv = ["main.py", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
spec = importlib.util.spec_from_file_location(
    "guda_pack", ROOT + "/__init__.py", submodule_search_locations=[ROOT]
)
pack = importlib.util.module_from_spec(spec)
sys.modules["guda_pack"] = pack
spec.loader.exec_module(pack)

import comfy.model_management as mm
from guda_pack.guda.backbone.load import load
from guda_pack.nodes import runtime

log = []
model = load("demo")
move = model.move

def noted(name, real):
    def call(*args, **kwargs):
        if not (name == "empty" and log[-1] == "free"):  # some versions free and empty in one
            log.append(name + (" " + str(kwargs.get("rest", "")) if name == "move" else ""))
        return real(*args, **kwargs)
    return call

mm.free_memory = noted("free", mm.free_memory)
mm.soft_empty_cache = noted("empty", mm.soft_empty_cache)
model.move = noted("move", move)
asked = []
free = mm.free_memory
mm.free_memory = lambda size, device: (asked.append(size), free(size, device))[1]
for error in (None, ValueError, mm.InterruptProcessingException):
    try:
        with runtime.on_device(model, 5.0):
            log.append("work")
            if error is not None:
                raise error()
    except BaseException as caught:
        assert type(caught) is error, caught
    log.append("end")
print(json.dumps({"log": log, "asked": asked, "size": model.nbytes}))
"""


def test_the_device_is_asked_for_and_handed_back(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(f"ROOT = {str(ROOT)!r}\n{SCRIPT}", "utf-8")
    folder = find_comfyui()
    run = subprocess.run(
        [sys.executable, "-B", str(script)],
        env=os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    once = ["free", "move cpu", "work", "move ", "empty", "end"]
    assert told["log"] == 3 * once
    assert told["asked"] == 3 * [told["size"] + 5.0]
