"""Every example workflow runs end to end in the real server, its settings shrunk to seconds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tools.comfy.client import Comfy, Result
from tools.comfy.graphs import Graph, upto
from tools.comfy.panel import SMALL
from tools.workflows.template_sd15 import CHECKPOINT, SET

from .. import checkpoints
from ..nodes.test_checkpoint import let_pass
from ..nodes.test_nodes import pictures, text

TIMEOUT = 300.0
DEMO = SMALL | {"GudaGeneratePictures": {"steps": 6}, "GudaAttribute": {"evaluations": 16}}
LEARNING = DEMO["GudaUnlearn"] | {"steps": 8, "batch_size": 6, "retain_batch_size": 6}
MY_STYLES = DEMO | {"GudaUnlearn": {k: v for k, v in LEARNING.items() if k != "set_name"}}
PAINTERS = ("Van Gogh", "Monet")
SD15 = {  # a random model of the family, 64 pixels wide
    "GudaLoadModel": {"resolution": 64},
    "GudaModelFromGraph": {"resolution": 64},
    "EmptyLatentImage": {"width": 64, "height": 64},
    "KSampler": {"steps": 1},
    "GudaGroupsFromPrompts": {
        "styles": "\n".join(f"{name}: {name}" for name in PAINTERS),
        "contents": "cat\nfox",
        "pictures": 4,
        "steps": 1,
    },
    "GudaUnlearn": {
        "steps": 2, "lr": 1e-2, "rank": 2, "anchor": "uniform", "warmup": 0, "heldout": 0.25,
        "batch_size": 1, "retain_batch_size": 1, "sheet": False,
    },
    "GudaGeneratePictures": {"steps": 1},
    "GudaAttribute": {"evaluations": 16, "schedule": "log"},
}  # fmt: skip


def shrunk(graph: Graph, changes: dict[str, dict]) -> Graph:
    kinds = {n["class_type"] for n in graph.values()}
    assert kinds & changes.keys(), "nothing of this graph is shrunk"
    return {
        key: n | {"inputs": n["inputs"] | changes.get(n["class_type"], {})}
        for key, n in graph.items()
    }


def run(comfy: Comfy, graph: Graph) -> Result:
    result = comfy.run(graph, timeout=TIMEOUT)
    assert result.ok, (result.message, comfy.log_tail())
    # Of two nodes that ask the same, newer cores run one; the other has its answer unannounced.
    ran = {*result.executed, *result.cached, *result.outputs}
    assert ran == set(graph), "some nodes did not run"
    return result


def of(graph: Graph, kind: str, **inputs) -> str:
    """The id of the one node of this class with these inputs."""
    (key,) = (
        k
        for k, n in graph.items()
        if n["class_type"] == kind and n["inputs"].items() >= inputs.items()
    )
    return key


def check(graph: Graph, result: Result, styles: int, images: int) -> dict:
    """The panel has every picture and style, and the report of them is on disk."""
    (payload,) = result.outputs[of(graph, "GudaAttribute")]["guda"]
    assert len(payload["images"]) == images
    for image in payload["images"]:
        assert len(image["scores"]) == styles
        assert all(np.isfinite(s["delta"]) and s["low"] < s["high"] for s in image["scores"])
    return payload


def check_report(graph: Graph, result: Result, prefix: str, images: int) -> None:
    saved = result.outputs[of(graph, "GudaSaveReport")]
    html = Path(text(result, of(graph, "GudaSaveReport")))
    assert html.is_file() and html.parent.name.startswith(prefix)
    assert len(saved["images"]) == images
    assert html.read_text("utf-8").count('<section class="card" id="picture-') == images


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "prefix", "images"),
    [
        ("every_style_unlearned", "report", 5),
        ("my_styles", "my_styles", 1),
        ("batch_report", "batch", 6),
    ],
)
def test_on_the_built_in_model(comfy: Comfy, examples: dict, name: str, prefix: str, images: int):
    graph = shrunk(examples[name][0], MY_STYLES if name == "my_styles" else DEMO)
    result = run(comfy, graph)
    check(graph, result, 5, images)
    check_report(graph, result, prefix, images)


def test_the_quick_start_answers_at_once(comfy: Comfy, examples: dict):
    graph = examples["quick_start"][0]
    result = run(comfy, graph)
    payload = check(graph, result, 5, 1)
    check_report(graph, result, "report", 1)
    assert payload["counterfactuals"] == "direct"
    assert payload["images"][0]["scores"][0]["group"] == "Fluent Ink"


@pytest.mark.slow
def test_the_second_opinion_comes_beside_the_first(comfy: Comfy, examples: dict):
    graph = shrunk(examples["second_opinion"][0], DEMO)
    result = run(comfy, graph)
    answers = {
        key: result.outputs[key]["guda"][0]
        for key, n in graph.items()
        if n["class_type"] == "GudaAttribute"
    }
    first, second = answers.values()
    assert "counterfactuals" in graph[list(answers)[1]]["inputs"]
    assert first["counterfactuals"] == "direct" and second["counterfactuals"] != "direct"
    styles = [{s["group"] for s in a["images"][0]["scores"]} for a in (first, second)]
    assert styles[0] == styles[1] and len(styles[0]) == 5


@pytest.fixture(scope="module")
def checkpoint(comfy: Comfy):
    """Of SD 1.5's kind, under the name that the workflows ask for."""
    path = comfy.base / "models" / "checkpoints" / CHECKPOINT
    made = path.parent / "sub" / "small.safetensors"  # by test_checkpoint.py
    if made.is_file():
        os.link(made, path)
    else:
        checkpoints.write(path, checkpoints.SMALL["sd1"])
    comfy.object_info("GudaLoadModel")  # lists the files anew
    yield path
    path.unlink()


@pytest.mark.slow
def test_artists_by_prompt_only(comfy: Comfy, examples: dict, checkpoint: Path):
    graph = learned(comfy, examples["artists_sd15"][0])
    result = run(comfy, graph)
    payload = check(graph, result, len(PAINTERS), 1)
    assert {s["group"] for s in payload["images"][0]["scores"]} == set(PAINTERS)
    check_report(graph, result, "artists", 1)


@pytest.mark.slow
def test_with_and_without_the_leading_style(comfy: Comfy, examples: dict, checkpoint: Path):
    graph = learned(comfy, examples["without_style"][0])
    without = of(graph, "GudaWithoutStyle")
    lora = {"lora": [without, 2], "prefix": "loras/guda"}
    graph["save"] = {"class_type": "SaveLoRA", "inputs": lora}  # ComfyUI's own
    result = run(comfy, graph)
    payload = check(graph, result, len(PAINTERS), 1)
    leader = payload["images"][0]["scores"][0]["group"]
    assert text(result, of(graph, "PreviewAny", source=[without, 1])) == leader
    (saved,) = (comfy.base / "output" / "loras").glob("guda*.safetensors")
    name = graph[of(graph, "GudaUnlearn")]["inputs"]["set_name"]
    files = (comfy.base / "models" / "loras" / "guda" / name).glob("*.safetensors")
    made = [load_file(path) for path in files]
    assert any(_same(load_file(saved), of_set) for of_set in made)
    shown = [k for k, n in graph.items() if n["class_type"] == "PreviewImage"]
    (first,), (second,) = (pictures(comfy, result, key) for key in shown)
    assert np.abs(np.asarray(first, dtype=int) - np.asarray(second, dtype=int)).max() > 2


def _same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def learned(comfy: Comfy, graph: Graph) -> Graph:
    """The shrunk graph, its painters unlearned: a random model does not always pass its gate."""
    graph = shrunk(graph, SD15)
    name = f"{SET}-{of(graph, 'GudaUnlearn')}"
    graph = shrunk(graph, {"GudaUnlearn": {"set_name": name}})
    unlearn = of(graph, "GudaUnlearn")
    graph["seen"] = {"class_type": "PreviewAny", "inputs": {"source": [unlearn, 2]}}
    run(comfy, upto(graph, "seen"))
    let_pass(comfy, name)
    return graph
