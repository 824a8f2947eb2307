"""Stopping a run in the middle, and going on from there."""

from __future__ import annotations

import html
from pathlib import Path

import pytest

from tools.comfy.client import Comfy
from tools.comfy.graphs import LEARNING, STYLES, upto, workflow

TIMEOUT = 300.0
STOP_AT = 5  # an odd step: the next, in which the interrupt is seen, has a checkpoint


def set_folder(comfy: Comfy, name: str) -> Path:
    return comfy.base / "models" / "loras" / "guda" / name


@pytest.fixture(scope="module")
def straight(comfy: Comfy) -> Path:
    """The folder of an uninterrupted run."""
    assert comfy.run(upto(workflow("straight"), "unlearn"), timeout=TIMEOUT).ok
    return set_folder(comfy, "straight")


def test_interrupted_unlearning_continues(comfy: Comfy, straight: Path):
    graph = upto(workflow("stopped"), "unlearn")
    stopped = comfy.stopped(graph, "unlearn", STOP_AT, TIMEOUT)
    assert stopped.status == "interrupted" and stopped.error["node_id"] == "unlearn"
    assert stopped.progress("unlearn")[-1][0] == STOP_AT, "went on after the interrupt"

    folder = set_folder(comfy, "stopped")
    left = {p.name for p in folder.iterdir()}
    assert left == {"noto-blob.resume", "noto-blob.resume.old"}
    (folder / ".guda-0badf00d-1-0123456789ab.tmp").touch()  # as a killed run leaves one
    loader = comfy.object_info("LoraLoader")["input"]["required"]["lora_name"][0]
    listed = {Path(n.replace("\\", "/")).as_posix() for n in loader}
    assert not [n for n in listed if n.startswith("guda/stopped/")], "no LoRA is finished yet"
    assert "guda/straight/noto-blob.safetensors" in listed
    kept = "Kept: Noto Blob up to step 6 of 16. Queue again to go on from there."
    (said,) = stopped.of("guda.stopped")
    assert said["node"] == "unlearn" and not said["failed"] and said["text"] == kept
    assert stopped.texts[-1] == ("unlearn", f"Stopped. {said['text']}")

    resumed = comfy.run(graph, timeout=TIMEOUT)
    assert resumed.ok and resumed.executed == ["unlearn"]
    values = [value for value, _ in resumed.progress("unlearn")]
    assert min(values) == STOP_AT + 2, "does not continue after the checkpoint"
    assert max(values) == 3 * LEARNING["steps"]
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in straight.iterdir())
    for lora in straight.glob("*.safetensors"):
        assert (folder / lora.name).read_bytes() == lora.read_bytes(), lora.name


def test_interrupted_drawing_leaves_whole_files(comfy: Comfy):
    graph = upto(workflow(), "see_groups")
    graph["groups"]["inputs"] |= {"seed": 7, "batch_size": 12}
    folder = comfy.base / "user" / "guda" / "pictures" / "demo"
    before = set(folder.rglob("*"))
    stopped = comfy.stopped(graph, "groups", 14, TIMEOUT)
    assert stopped.status == "interrupted"
    assert "Kept: every picture that was finished" in stopped.texts[-1][1]
    made = [p for p in set(folder.rglob("*")) - before if p.is_file()]
    assert len(made) == 12, made
    assert all(p.suffix == ".png" and not p.name.startswith(".") for p in made)
    resumed = comfy.run(graph, timeout=TIMEOUT)
    assert resumed.ok and resumed.progress("groups")[-1] == (24, 24)


def test_interrupted_scoring_leaves_the_full_model(comfy: Comfy, straight: Path):
    """A counterfactual left merged into the UNet would change every later answer."""
    graph = upto(workflow("straight"), "read_table")
    table = comfy.run(graph, timeout=TIMEOUT).outputs["read_table"]["text"]
    longer = upto(workflow("straight"), "read_table")
    longer["attribute"]["inputs"] |= {"evaluations": 64, "batch_size": 4}

    # while a style is away: beyond the first quarter
    stopped = comfy.stopped(longer, "attribute", 160, TIMEOUT)
    assert stopped.progress("attribute")[-1] == (160, 512)
    assert stopped.status == "interrupted"
    kept = html.unescape(stopped.texts[-1][1])
    assert kept.startswith("Stopped. Kept: every style's LoRA, but no scores.")
    shorter = upto(workflow("straight"), "read_table")
    shorter["attribute"]["inputs"]["confidence"] = 0.95  # the default, but another cache entry
    again = comfy.run(shorter, timeout=TIMEOUT)
    assert "attribute" in again.executed and "model" in again.cached
    assert again.outputs["read_table"]["text"] == table


def test_an_interrupted_direct_answer_tells_of_no_loras(comfy: Comfy):
    graph = upto(workflow(), "generate", "attribute")
    del graph["unlearn"], graph["groups"], graph["attribute"]["inputs"]["counterfactuals"]
    styles = "\n".join(f"{name}: {phrase}" for name, phrase in STYLES.items())
    graph["attribute"]["inputs"] |= {"styles": styles, "evaluations": 128, "batch_size": 1}
    stopped = comfy.stopped(graph, "attribute", 100, TIMEOUT)
    assert stopped.status == "interrupted"
    kept = html.unescape(stopped.texts[-1][1])
    assert kept.startswith("Stopped. Nothing of this step is kept")
