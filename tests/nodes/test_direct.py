"""*Attribute to Styles* without counterfactuals, in a real ComfyUI: the model itself answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from guda.config import DIRECT_EVALUATIONS, UnlearnConfig
from guda.unlearning.recovery import LIMIT, Recovery, evaluations
from tools.comfy.client import Comfy
from tools.comfy.graphs import STYLES, changed, node, upto, workflow

WRITTEN = "\n".join(f"{name}: {phrase}" for name, phrase in STYLES.items())


def graph(**inputs) -> dict:
    return upto(workflow(), "generate") | {
        "attribute": node(
            "GudaAttribute",
            model=["model", 0],
            image=["generate", 0],
            prompt=["generate", 1],
            **{"evaluations": 0, "schedule": "log", "seed": 0} | inputs,
        ),
        "read_table": node("PreviewAny", source=["attribute", 1]),
    }


@pytest.mark.parametrize("inputs", [{"styles": WRITTEN}, {"groups": ["groups", 0]}])
def test_styles_are_answered_for_at_once(comfy: Comfy, inputs: dict):
    result = comfy.run(upto(workflow(), "groups") | graph(**inputs))
    assert result.ok, (result.error, comfy.log_tail())
    (payload,) = result.outputs["attribute"]["guda"]
    pictures = len(payload["images"])
    assert payload["counterfactuals"] == "direct"
    assert payload["unet_evaluations"] == pictures * DIRECT_EVALUATIONS * (len(STYLES) + 1)
    for image in payload["images"]:
        assert {s["group"] for s in image["scores"]} == set(STYLES)
        assert len(image["heatmaps"]) == len(STYLES)
    (table,) = result.outputs["read_table"]["text"]
    assert "Direct answer: nothing was unlearned" in table


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "There are no styles to ask for; link counterfactuals or groups, or write one style"),
        ({"styles": "Ink: ink"}, "There is Ink alone to compare; give two styles at least"),
        ({"styles": WRITTEN, "groups": ["groups", 0]}, "Both groups and styles say which styles"),
    ],
)
def test_what_to_ask_for_must_be_said_once(comfy: Comfy, inputs: dict, words: str):
    result = comfy.run(upto(workflow(), "groups") | graph(**inputs))
    assert result.status == "error" and words in result.message


def test_only_the_leading_styles_are_unlearned(comfy: Comfy):
    whole = upto(workflow("screened"), "read_gate") | graph(groups=["groups", 0])
    whole["unlearn"]["inputs"] |= {"attribution": ["attribute", 0], "screen": 1, "steps": 8}
    result = comfy.run(whole)
    assert result.ok, (result.error, comfy.log_tail())
    (payload,) = result.outputs["attribute"]["guda"]
    leader = max(
        STYLES,
        key=lambda name: sum(
            1 / s["rank"] for i in payload["images"] for s in i["scores"] if s["group"] == name
        ),
    )
    folder = comfy.base / "models" / "loras" / "guda" / "screened"
    assert [p.stem for p in folder.glob("*.safetensors")] == [leader.lower().replace(" ", "-")]

    recovery_is_added(comfy, changed(whole, "unlearn", recovery=True), folder)

    whole["unlearn"]["inputs"].pop("attribution")
    result = comfy.run(whole)
    assert (
        result.status == "error" and "screen is 1, but no attribution is linked" in result.message
    )


def recovery_is_added(comfy: Comfy, graph: dict, folder: Path) -> None:
    """To a finished set, whose LoRA stays as it is."""
    (lora,) = folder.glob("*.safetensors")
    before = load_file(lora)
    result = comfy.run(graph)
    assert result.ok, (result.error, comfy.log_tail())
    assert {"model", "groups", "attribute"} <= set(result.cached)
    (told,) = json.loads((folder / "counterfactuals.json").read_text("utf-8"))["groups"]
    recovery = Recovery.read(told["certificate"]["recovery"])
    assert recovery is not None and recovery.limit == LIMIT
    (gate,) = result.outputs["read_gate"]["text"]
    assert str(recovery) in gate
    said = [words for node, words in result.texts if node == "unlearn"]
    most = evaluations(UnlearnConfig(), LIMIT)
    assert any(words.startswith(f"Planned: {most} UNet evaluations ({most} rec") for words in said)
    assert any(words.startswith(f"Measuring the recovery of {told['name']}, ") for words in said)
    assert all((load_file(lora)[name] == value).all() for name, value in before.items())
    again = comfy.run(changed(graph, "unlearn", sheet=False))
    assert again.ok and again.outputs["read_gate"]["text"] == [gate]
    assert not any(words.startswith("Measuring") for _, words in again.texts), "measured again"
