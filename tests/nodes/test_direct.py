"""*Attribute to Styles* without counterfactuals, in a real ComfyUI: the model itself answers."""

from __future__ import annotations

import pytest

from guda.config import DIRECT_EVALUATIONS
from tools.comfy.client import Comfy
from tools.comfy.graphs import STYLES, node, upto, workflow

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
    whole = upto(workflow("screened"), "unlearn") | graph(groups=["groups", 0])
    whole["unlearn"]["inputs"] |= {"attribution": ["attribute", 0], "screen": 1}
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

    whole["unlearn"]["inputs"].pop("attribution")
    result = comfy.run(whole)
    assert (
        result.status == "error" and "screen is 1, but no attribution is linked" in result.message
    )
