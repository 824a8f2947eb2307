"""The same checkpoint, LoRA and numbers in ComfyUI's own code and in the pack's: see native.py."""

from __future__ import annotations

from itertools import product

import pytest

FAMILIES = ("sd1", "sd2", "sdxl")
MODULES = ("cross_attention", "attention", "all", "full")
MODELS = (*FAMILIES, "sd2 v", "sdxl v")
# Attention projections of the real UNets, up and down and alpha each; every parameter.
KEYS = {
    "sd1": (192, 384, 708, 686),
    "sd2": (192, 384, 708, 686),
    "sdxl": (840, 1680, 2268, 1680),
}


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


@pytest.mark.parametrize("model", MODELS)
def test_the_graph_s_model_weighs_prompts_as_its_clip_does(found, model):
    result = found["beside"][model]
    for gap, size in result["weighed"]:
        assert size > 0.3 and gap < 1e-3
    assert result["unweighed"][0] > 0.01, "the weights changed nothing"


WORDS = "The model from the graph "


def test_parts_of_the_graph_are_refused_by_name(found):
    remedy = "whose weights cannot be trained; use the fp16, bf16 or fp32 .safetensors file."
    another = WORDS + "is of another kind than its clip; link the clip of the same checkpoint."
    expected = {
        "quantized model": f"{WORDS}has a quantized (GGUF) model, {remedy}",
        "quantized clip": f"{WORDS}has a quantized (GGUF) text encoder, {remedy}",
        "fp8": f"{WORDS}has a quantized (float8_e4m3fn) model, {remedy}",
        "clip of sd2": another,
        "clip of sd1 for sdxl": another,
    }
    assert {name: found["refusals"][name] for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "part", "what"),
    [
        ("bypass", "model", "a LoRA in bypass mode or another injection (bypass_lora)"),
        ("bypass clip", "text encoder", "a LoRA in bypass mode or another injection (bypass_lora)"),
        ("hooks", "model", "hooks that change its weights (_HookRef)"),
        ("hooks clip", "text encoder", "hooks that change its weights (WeightHook)"),
        ("weight wrapper", "model", "functions around its weights (diffusion_model.out.2.weight)"),
        ("object", "model", "replaced parts (diffusion_model.out)"),
        ("function", "model", "a function around the model (wrapper)"),
        ("wrapper", "model", "wrappers around the model (mine)"),
    ],
)
def test_what_is_in_no_weight_is_refused_by_name(found, name, part, what):
    said = found["refusals"][name]
    assert said.startswith(f"{WORDS}has {what} on its {part}, and what is in no weight cannot be")


def test_what_a_ksampler_alone_uses_is_told(found):
    """And what is about speed alone is not; another branch's clone changes nothing."""
    assert found["refusals"]["left out"] == [
        f"{WORDS}carries attn2_patch, which a KSampler uses; only its weights and LoRAs count here."
    ]
    assert found["refusals"]["clone"] == ""


def test_loras_of_both_patchers_are_in_the_weights(found):
    """On UNet and text encoder, as the classic patcher writes them, before and after it did."""
    result = found["beside"]["sd1"]["patched"]
    assert result["dynamic"] == [True, True] and min(result["placed"]) > 15
    assert result["lora"] > 0.05, "a LoRA too small to see"
    assert result["before"] == result["after"] == result["weights"] == 0.0
    assert result["text"] < 5e-3  # newer cores patch it in fp32, the classic one rounds to fp16


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


def test_a_model_that_no_workflow_needs_goes_first_when_memory_is_short(found):
    """By ComfyUI's own RAM-pressure cache, and its weights with it; unseen it would go last."""
    assert found["dropped"] == [["model"], ["picture", "model"]]
