"""The lowest versions of the libraries that the pack allows, in a folder for PYTHONPATH."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

ROOT = Path(__file__).parents[1]
NEEDED = ["huggingface_hub==0.26.5", "tokenizers==0.21.0"]  # by transformers 4.50.3
FLOORS = ("diffusers", "transformers", "peft")


def pins() -> list[str]:
    text = (ROOT / "requirements.txt").read_text("utf-8")
    found = dict(re.findall(r"^([a-z]+)>=([\d.]+)$", text, re.MULTILINE))
    return [f"{name}=={found[name]}" for name in FLOORS] + NEEDED


def lowest_libraries() -> Path:
    """Downloaded once into the tests' cache (3 seconds, 80 MB)."""
    chosen = os.environ.get("GUDA_TEST_CACHE")
    cache = Path(chosen) if chosen else Path.home() / ".cache" / "guda-tests"
    home = cache / "-".join(["lowest", *(p.replace("==", "_") for p in pins())])
    if not home.is_dir():
        temporary = cache / f".{uuid.uuid4().hex[:12]}"
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--no-deps"]
        subprocess.run([*command, "--target", str(temporary), *pins()], check=True)
        temporary.rename(home)
    return home
