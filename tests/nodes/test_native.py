"""The same checkpoint, LoRA and numbers in ComfyUI's own code and in the pack's: see native.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from tools.comfy.server import find_comfyui, server_environment

FAMILIES = ("sd1", "sd2", "sdxl")
MODULES = ("cross_attention", "attention", "all", "full")
MODELS = (*FAMILIES, "sd2 v", "sdxl v")
# Attention projections of the real UNets, up and down and alpha each; every parameter.
KEYS = {
    "sd1": (192, 384, 708, 686),
    "sd2": (192, 384, 708, 686),
    "sdxl": (840, 1680, 2268, 1680),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    home = find_comfyui()
    script = Path(__file__).with_name("native.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path_factory.mktemp("native"))],
        cwd=home,
        env=server_environment() | {"COMFYUI_PATH": str(home)} | _threads(),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def _threads() -> dict[str, str]:
    chosen = os.environ.get("OMP_NUM_THREADS")
    return {"OMP_NUM_THREADS": chosen} if chosen else {}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_load_lora_places_every_key_at_full_size(found, family):
    coverage = found["coverage"][family]
    for modules, keys in zip(MODULES, KEYS[family], strict=True):
        given, missed, placed = coverage[modules]
        assert (given, missed) == (keys, 0), modules
        assert placed == (given if modules == "full" else given // 3)


@pytest.mark.parametrize("model", MODELS)
def test_the_full_model_is_the_same(found, model):
    result = found["beside"][model]
    gap, size = result["eps"]
    assert size > 0.3 and gap < 1e-3
    v = model.endswith(" v")
    assert result["prediction"] == ["v_prediction" if v else "epsilon", v]


@pytest.mark.parametrize("model", MODELS)
def test_the_graph_s_model_is_the_file_s(found, model):
    """Counterfactuals of the one are taken for the other."""
    result = found["beside"][model]["from graph"]
    assert result["same"] == [True, True] and result["overrides"] == []
    for name in ("eps", "text"):
        gap, size = result[name]
        assert size > 0.3 and gap < 1e-3, name


def test_parts_of_the_graph_are_refused_by_name(found):
    words = "The model from the graph "
    remedy = "whose weights cannot be trained; use the fp16, bf16 or fp32 .safetensors file."
    another = words + "is of another kind than its clip; link the clip of the same checkpoint."
    assert found["refusals"] == {
        "quantized model": f"{words}has a quantized (GGUF) model, {remedy}",
        "quantized clip": f"{words}has a quantized (GGUF) text encoder, {remedy}",
        "clip of sd2": another,
        "clip of sd1 for sdxl": another,
    }


@pytest.mark.parametrize(
    ("model", "modules"),
    [*product(FAMILIES, MODULES), ("sd2 v", "all"), ("sdxl v", "all")],
)
def test_comfyui_s_patched_unet_is_the_counterfactual(found, model, modules):
    gap, _, change, missed = found["beside"][model][modules]
    assert missed == 0
    assert change > 0.1, "a LoRA too small to see"
    assert gap < 1e-3


@pytest.mark.parametrize("model", MODELS)
def test_prompts_are_encoded_the_same(found, model):
    result = found["beside"][model]
    assert bool(result["pooled"]) == model.startswith("sdxl")
    assert len(result["text"]) == 14
    assert [n // 77 for n in result["tokens"]] == [1, 1, 4, 1, 2, 3, 6]
    for gap, size in (*result["text"], *result["pooled"]):
        assert size > 0.3 and gap < 1e-3


@pytest.mark.parametrize("model", MODELS)
def test_the_vae_and_its_scale_are_the_same(found, model):
    result = found["beside"][model]
    for name in ("latents", "pixels"):
        gap, size = result[name]
        assert size > 0.02 and gap < 1e-4, name
    assert result["scaled"][0] < 1e-6
