"""A checkpoint in the real server: into the pack by file and by graph, and back out as a LoRA."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from guda.counterfactuals.lora_file import read_file
from tools.comfy.client import Comfy, ComfyError, Result
from tools.comfy.graphs import changed, node
from tools.comfy.server import running_comfy

from .. import checkpoints
from .checkpoint_graph import from_graph, native, scored, unlearning, used
from .test_nodes import pictures

TIMEOUT = 560.0
SMALL = "sub/small.safetensors"


def done(comfy: Comfy, graph: dict, timeout: float = TIMEOUT) -> Result:
    result = comfy.run(graph, timeout=timeout)
    assert result.ok, (result.message, comfy.log_tail())
    return result


def payload(result: Result) -> dict:
    (found,) = result.outputs["attribute"]["guda"]
    return found


def elbo(result: Result) -> float:
    return payload(result)["images"][0]["elbo"]


def deltas(result: Result) -> dict[str, float]:
    return {s["group"]: s["delta"] for s in payload(result)["images"][0]["scores"]}


def only(graph: dict, *names: str) -> dict:
    return {name: graph[name] for name in names}


def let_pass(comfy: Comfy, name: str) -> None:
    """A random model has nothing to forget: whether it passes its gate is chance, so it is told."""
    manifest = comfy.base / "models" / "loras" / "guda" / name / "counterfactuals.json"
    data = json.loads(manifest.read_text("utf-8"))
    for group in data["groups"]:
        group["certificate"] = None
        group["gate"]["forget_without"] = 9 * group["gate"]["forget_full"]
        group["gate"]["retain_without"] = group["gate"]["retain_full"]
    manifest.write_text(json.dumps(data), "utf-8")


def described() -> dict:
    """A picture by the pack's model."""
    drawing = {"prompts": "a fox", "steps": 1, "guidance": 2.0, "seed": 0}
    return {
        "draw": node("GudaGeneratePictures", model=["model", 0], **drawing),
        "see_drawn": node("PreviewImage", images=["draw", 0]),
    }


def check_learned(comfy: Comfy, learned: Result, name: str) -> None:
    (gate,) = learned.outputs["read_gate"]["text"]
    assert [line.split(":")[0] for line in gate.splitlines()] == ["Ink", "Oil", "Warning"]
    (said,) = learned.of("guda.warning")  # random weights: said once, and kept under the node
    assert "does not explain the pictures" in said["text"]
    assert learned.texts[-1][0] == "unlearn" and f"Warning: {said['text']}" in learned.texts[-1][1]
    assert f"GUDA: {said['text']}" in comfy.log()
    let_pass(comfy, name)


def check_used(comfy: Comfy, result: Result) -> None:
    """The pictures of `native` and `used`."""
    full, lora, without = (
        np.asarray(pictures(comfy, result, f"see_{k}")[0], dtype=int)
        for k in ("full", "lora", "without")
    )
    assert (lora == without).all(), "Without This Style and Load LoRA differ"
    assert np.abs(full - lora).max() > 2, "the counterfactual changes nothing"
    assert "lora key not loaded" not in comfy.log()


def check_round_trip(comfy: Comfy, file: str, name: str, steps: int = 2) -> dict[str, float]:
    """load -> unlearn -> save -> Load LoRA -> attribute, then the same from the graph's MODEL.

    Returns the seconds of each part.
    """
    start = time.monotonic()
    learned = done(comfy, unlearning(file, name, steps=steps))
    check_learned(comfy, learned, name)
    learned_at = time.monotonic()
    graph = only(unlearning(file, name), "model") | native(file) | used(name)
    first = done(comfy, graph | scored(["set", 0]))
    assert "model" in first.cached
    scored_at = time.monotonic()
    check_used(comfy, first)
    comfy.free()
    again = done(comfy, native(file) | used(name) | from_graph() | scored(["set", 0]))
    assert elbo(again) == pytest.approx(elbo(first), rel=1e-3)
    assert deltas(again) == pytest.approx(deltas(first), rel=1e-2, abs=1e-3 * abs(elbo(first)))
    return {
        "unlearn": learned_at - start,
        "use and score": scored_at - learned_at,
        "from the graph": time.monotonic() - scored_at,
    }


@pytest.fixture(scope="module")
def seconds(comfy: Comfy) -> dict[str, float]:
    """Of the round trip of a checkpoint of SD 1.5's kind; its set is called small.

    As small as ComfyUI takes it: the UNet has two levels.
    """
    checkpoints.write(comfy.base / "models" / "checkpoints" / SMALL, checkpoints.SMALL["sd1"])
    return check_round_trip(comfy, SMALL, "small")


@pytest.fixture(scope="module")
def small(seconds: dict[str, float]) -> str:
    return SMALL


@pytest.mark.slow
def test_a_checkpoint_goes_round(comfy: Comfy, seconds: dict[str, float]):
    info = comfy.object_info("GudaLoadModel")["input"]["required"]["model"]
    assert SMALL in [name.replace("\\", "/") for name in info[1]["options"]]
    print(seconds)


@pytest.mark.slow
def test_a_patched_lora_counts(comfy: Comfy, small: str):
    """The model from the graph is the one with its LoRAs: without them it is another model."""
    graph = native(small) | used("small")
    plain = done(comfy, graph | from_graph() | described())
    patched = done(comfy, graph | from_graph(model=["without", 0]) | described())
    drawn = [pictures(comfy, r, "see_drawn")[0].tobytes() for r in (plain, patched)]
    assert drawn[0] != drawn[1]
    graph |= from_graph(model=["without", 0]) | scored(["set", 0])
    message = comfy.run(graph, timeout=TIMEOUT).message
    assert "was made from the model 'small'" in message and "not from 'graph'" in message

    graph["attribute"]["inputs"]["cluster"] = "local"
    message = comfy.run(graph, timeout=TIMEOUT).message
    assert "The model graph cannot be loaded by the workers of a cluster" in message


@pytest.mark.slow
def test_strength_and_style(comfy: Comfy, small: str):
    graph = native(small) | used("small")
    still = done(comfy, changed(graph, "without", strength=0.0))
    full, without = (pictures(comfy, still, f"see_{k}")[0] for k in ("full", "without"))
    assert full.tobytes() == without.tobytes()
    empty = comfy.run(changed(graph, "without", style=""), timeout=TIMEOUT)
    assert "style is empty; give one of: Ink, Oil; or link an attribution" in empty.message
    other = comfy.run(changed(graph, "without", style="Dada"), timeout=TIMEOUT)
    assert "The style 'Dada' is not in" in other.message


NAN = {"lora_unet_x.diff": torch.full((2, 2), torch.nan)}
TAMPERED = {
    "key": (lambda tensors, told: told.update({"guda.key": "other"}), "other pictures or settings"),
    "model": (
        lambda tensors, told: told.update({"guda.base_fingerprint": "other"}),
        "was made from another base model",
    ),
    "finite": (lambda tensors, told: tensors.update(NAN), "values that are not finite"),
    "half": (
        lambda tensors, told: tensors.pop(next(k for k in tensors if "lora_down" in k)),
        "is none of a whole layer's",
    ),
    "strange": (lambda tensors, told: tensors.update(x=torch.ones(1)), "its entry x of shape (1,)"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", TAMPERED)
def test_a_tampered_file_leaves_no_style_out(comfy: Comfy, small: str, what: str):
    """What attribution refuses, Without This Style refuses as well."""
    change, said = TAMPERED[what]
    folder = comfy.base / "models" / "loras" / "guda" / f"tampered-{what}"
    shutil.copytree(folder.with_name("small"), folder)
    tensors, told = read_file(folder / "ink.safetensors")
    change(tensors, told)
    save_file(tensors, folder / "ink.safetensors", told)
    graph = only(native(small) | used(folder.name), "native", "set", "without")
    graph["read"] = node("PreviewAny", source=["without", 1])
    result = comfy.run(graph, timeout=TIMEOUT)
    assert result.error["node_id"] == "without" and said in result.message, result.message
    assert str(folder / "ink.safetensors") in result.message


@pytest.mark.slow
def test_a_set_that_lost_its_manifest_is_loaded(comfy: Comfy, small: str):
    folder = comfy.base / "models" / "loras" / "guda" / "no-manifest"
    shutil.copytree(folder.with_name("small"), folder)
    (folder / "counterfactuals.json").unlink()
    names = comfy.object_info("GudaLoadCounterfactuals")["input"]["required"]["set_name"]
    assert folder.name in names[1]["options"]
    graph = only(used(folder.name), "set") | {"read": node("PreviewAny", source=["set", 0])}
    assert "counterfactuals.json is missing" in str(done(comfy, graph).outputs["read"]["text"])


@pytest.mark.slow
def test_the_leading_style_is_taken(comfy: Comfy, small: str):
    graph = native(small) | used("small") | from_graph() | scored(["set", 0])
    graph["without"]["inputs"] |= {"style": "", "attribution": ["attribute", 0]}
    graph["read_style"] = node("PreviewAny", source=["without", 1])
    result = done(comfy, graph)
    leader = payload(result)["images"][0]["scores"][0]["group"]
    assert result.outputs["read_style"]["text"] == [leader]


@pytest.mark.slow
def test_a_workflow_of_another_system_finds_the_file(comfy: Comfy, small: str):
    graph = {"model": node("GudaLoadModel", model=small.replace("/", "\\"), resolution=64)}
    assert done(comfy, graph | described()).outputs["see_drawn"]["images"]


@pytest.mark.slow
def test_other_sampling_is_refused(comfy: Comfy, small: str):
    graph = native(small) | from_graph(model=["lcm", 0]) | described()
    graph["lcm"] = node("ModelSamplingDiscrete", model=["native", 0], sampling="lcm", zsnr=False)
    message = comfy.run(graph, timeout=TIMEOUT).message
    assert message == (
        "The model from the graph samples by LCM, which is not supported; use a model of Stable "
        "Diffusion 1.x, 2.x or SDXL base, without a node that changes its sampling to something "
        "else."
    )


@pytest.mark.slow
def test_what_to_score_has_to_be_linked(comfy: Comfy, small: str):
    graph = native(small) | used("small") | from_graph()
    graph |= scored(["set", 0])
    del graph["attribute"]["inputs"]["latent"]
    message = comfy.run(graph, timeout=TIMEOUT).message
    assert "Nothing is linked to image or latent" in message


@pytest.mark.slow
def test_refused_before_anything_runs(comfy: Comfy):
    folder = comfy.base / "models" / "checkpoints"
    inpainting = dataclasses.replace(checkpoints.TINY["sd1"], in_channels=9)
    checkpoints.write(folder / "inpainting.safetensors", inpainting)
    (folder / "old.ckpt").write_bytes(b"\x80\x04")
    for name, words in {"inpainting.safetensors": "inpainting model", "old.ckpt": "pickle"}.items():
        with pytest.raises(ComfyError, match=words):
            comfy.run({"model": node("GudaLoadModel", model=name)} | described(), timeout=60)


@pytest.mark.slow
def test_sd1_at_full_size(tmp_path: Path):
    assert check_full_size(tmp_path, "sd1", check_round_trip) > 2e9


def check_full_size(
    folder: Path,
    family: str,
    check: Callable[[Comfy, str, str], dict[str, float]],
    options: Sequence[str] = (),
) -> int:
    """`check` on the real size of the family, fp16 on disk, in a server of its own.

    The checkpoint lies on another disk, so to speak, that extra_model_paths.yaml leads to. Prints
    what it took; returns the size of the file.
    """
    file, elsewhere = f"{family}.safetensors", folder / "all models, größer"
    path = elsewhere / "sd" / file
    writer = [sys.executable, checkpoints.__file__, family, str(path)]
    subprocess.run(writer, check=True)  # a process of its own gives all its memory back
    size, paths = path.stat().st_size, folder / "extra_model_paths.yaml"
    extra = {"elsewhere": {"base_path": str(elsewhere), "checkpoints": "sd"}}
    paths.write_text(json.dumps(extra), "utf-8")  # which is YAML, too
    options = ["--extra-model-paths-config", str(paths), *options]
    with running_comfy(folder / "comfyui", options=options) as comfy:
        seconds = {k: round(v) for k, v in check(comfy, file, family).items()}
        peak = peak_rss(comfy.process.pid)
    path.unlink()
    print(f"\n{family}: file {size / 1e9:.2f} GB, peak RSS {peak / 1e9:.2f} GB, seconds {seconds}")
    return size


def peak_rss(pid: int) -> float:
    """Bytes; 0 where the system does not tell."""
    status = Path(f"/proc/{pid}/status")
    if not status.is_file():
        return 0.0
    lines = [x for x in status.read_text().splitlines() if x.startswith("VmHWM")]
    return 1024.0 * int(lines[0].split()[1]) if lines else 0.0
