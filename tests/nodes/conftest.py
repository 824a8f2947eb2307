"""One process in which ComfyUI's own model code and the pack's work on the same numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.comfy.server import find_comfyui, server_environment


@pytest.fixture(scope="session")
def found(tmp_path_factory) -> dict:
    """What native.py tells of ComfyUI's own code beside the pack's."""
    home = find_comfyui()
    script = Path(__file__).with_name("native.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path_factory.mktemp("native"))],
        cwd=home,
        env=server_environment() | {"COMFYUI_PATH": str(home)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
