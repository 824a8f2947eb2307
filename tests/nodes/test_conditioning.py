"""The graph's own model, prompts and conditioning, in a real ComfyUI."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from tools.comfy.client import Comfy, Result
from tools.comfy.graphs import STYLES as PHRASES
from tools.comfy.graphs import Graph, node

from .. import checkpoints
from .test_nodes import pictures, text

FILE = "sub/small.safetensors"
SIDE = 32
STYLES = "Ink: ink\nOil: oil"
ASKED = {"styles": STYLES, "evaluations": 4, "schedule": "log", "seed": 0}
ANY, OWN = "GudaAttributeAny", "GudaAttribute"


@pytest.fixture(scope="module")
def small(comfy: Comfy) -> str:
    """Of SD 1.5's kind, as small as ComfyUI takes it."""
    path = comfy.base / "models" / "checkpoints" / FILE
    if not path.exists():
        checkpoints.write(path, checkpoints.SMALL["sd1"])
    return FILE


def asking(kind: str, **inputs) -> Graph:
    """A picture and a node that attributes it: by the graph's model, or by the pack's own."""
    graph = {
        "native": node("CheckpointLoaderSimple", ckpt_name=FILE),
        "picture": node("EmptyImage", width=SIDE, height=SIDE, batch_size=1, color=0x884422),
        "text": node("CLIPTextEncode", clip=["native", 1], text="a fox in the snow"),
    }
    given = {"image": ["picture", 0], "prompt": "a fox in the snow"} | ASKED | inputs
    if kind == ANY:
        graph |= {
            "attribute": node(
                kind, model=["native", 0], clip=["native", 1], vae=["native", 2],
                resolution=SIDE, **given,
            )
        }  # fmt: skip
    else:
        graph |= {
            "model": node("GudaLoadModel", model=FILE, resolution=SIDE),
            "attribute": node(kind, model=["model", 0], **given),
        }
    return graph


def answered(comfy: Comfy, graph: Graph) -> Result:
    result = comfy.run(graph, timeout=560.0)
    assert result.ok, (result.message, comfy.log_tail())
    return result


def images(result: Result) -> list[dict]:
    (payload,) = result.outputs["attribute"]["guda"]
    return payload["images"]


def deltas(image: dict) -> dict[str, float]:
    return {s["group"]: s["delta"] for s in image["scores"]}


@pytest.fixture(scope="module")
def plain(comfy: Comfy, small: str) -> dict:
    (image,) = images(answered(comfy, asking(ANY)))
    return image


def close(a: dict, b: dict) -> bool:
    """Whether the styles' deltas are the same."""
    size = max(map(abs, deltas(b).values()))
    return deltas(a) == pytest.approx(deltas(b), rel=1e-3, abs=1e-3 * size)


def test_both_nodes_say_the_same(comfy: Comfy, plain: dict):
    """The graph's own model, and the pack's copy of the same file."""
    (own,) = images(answered(comfy, asking(OWN)))
    assert own["elbo"] == pytest.approx(plain["elbo"], rel=1e-3)
    assert close(plain, own)
    assert [len(i["heatmaps"]) for i in (own, plain)] == [2, 2]


@pytest.mark.parametrize("kind", [ANY, OWN])
def test_credit_and_one_source_are_answered(comfy: Comfy, small: str, kind: str):
    graph = asking(kind, credit=True, one_source=True)
    graph["picture"]["inputs"]["batch_size"] = 10
    graph["report"] = node("GudaSaveReport", attribution=["attribute", 0], filename_prefix="a")
    page = Path(text(answered(comfy, graph), "report"))
    told = json.loads((page.parent / "attribution.json").read_text("utf-8"))
    assert told["source"]["pictures"] == len(told["images"]) == 10
    assert all("credit" in s for image in told["images"] for s in image["scores"])


def test_a_conditioning_is_the_prompt_that_was_given(comfy: Comfy, plain: dict):
    """Its weights count in both nodes; the styles stand in the prompt's text. What is beside the
    text, Flux' guidance here, goes along where the model is the graph's own."""
    weighed = {"text": node("CLIPTextEncode", clip=["native", 1], text="a (fox:1.6) in the snow")}
    more = {"more": node("FluxGuidance", conditioning=["text", 0], guidance=2.0)}
    (own,) = images(answered(comfy, asking(OWN, positive=["text", 0]) | weighed))
    (any_,) = images(answered(comfy, asking(ANY, positive=["more", 0]) | weighed | more))
    assert own["elbo"] == pytest.approx(any_["elbo"], rel=1e-3)
    assert abs(own["elbo"] - plain["elbo"]) > 1e-4 * abs(plain["elbo"])
    assert close(own, plain) and close(any_, plain)
    refused = comfy.run(asking(OWN, positive=["more", 0]) | more, timeout=560.0)
    assert "positive carries guidance, of which it is not known" in refused.message


def test_styles_stand_behind_a_conditioning_without_a_text(comfy: Comfy, plain: dict):
    found = [
        images(answered(comfy, asking(kind, prompt="", positive=["text", 0])))[0]
        for kind in (ANY, OWN)
    ]
    assert close(found[0], found[1]) and not close(found[0], plain)
    assert found[0]["elbo"] == pytest.approx(plain["elbo"], rel=1e-3)


BESIDE = {
    "an area (area)": node(
        "ConditioningSetArea", conditioning=["text", 0], width=64, height=64, x=0, y=0, strength=1.0
    ),
    "a range of timesteps (start_percent)": node(
        "ConditioningSetTimestepRange", conditioning=["text", 0], start=0.2, end=1.0
    ),
    "holds 2 conditionings": node(
        "ConditioningCombine", conditioning_1=["text", 0], conditioning_2=["text", 0]
    ),
}


@pytest.mark.parametrize("kind", [ANY, OWN])
@pytest.mark.parametrize("what", BESIDE)
def test_what_cannot_be_honoured_is_refused_by_name(comfy: Comfy, small: str, kind: str, what: str):
    graph = asking(kind, positive=["more", 0]) | {"more": BESIDE[what]}
    result = comfy.run(graph, timeout=560.0)
    assert result.status == "error" and what in result.message, result.message
    assert "link a plain CLIP Text Encode" in result.message.replace("Link", "link")


def built_in(**inputs) -> Graph:
    """Asked of the built-in model, which is quick."""
    styles = "\n".join(f"{name}: {phrase}" for name, phrase in PHRASES.items())
    asked = ASKED | {"styles": styles, "image": ["picture", 0]} | inputs
    return {
        "model": node("GudaLoadModel", model="built-in demo"),
        "attribute": node(OWN, model=["model", 0], **asked),
        "picture": node("EmptyImage", width=64, height=64, batch_size=2, color=0x884422),
    }


@pytest.mark.parametrize(
    ("prompt", "read"), [("a fox\nsnow", ["a fox", "snow"]), ("a\nb\nc", ["a\nb\nc"] * 2)]
)
def test_lines_are_prompts_only_where_they_are_as_many_as_pictures(
    comfy: Comfy, prompt: str, read: list[str]
):
    """And the node says so."""
    result = answered(comfy, built_in(prompt=prompt))
    assert [i["prompt"] for i in images(result)] == read
    under = [text for where, text in result.texts if where == "attribute"][-1]
    assert ("each line is read as the prompt of one picture" in under) == (read[0] == "a fox")


def test_a_picture_keeps_its_shape(comfy: Comfy):
    """And the mask lies over the picture as it was given."""
    graph = built_in(image=["wide", 0], prompt="a fox")
    graph["wide"] = node("EmptyImage", width=150, height=70, batch_size=1, color=0x884422)
    graph["heat"] = node(
        "GudaHeatMap", attribution=["attribute", 0], group="", picture=0, opacity=0.65
    )
    graph["mask"] = node("MaskToImage", mask=["heat", 1])
    graph["see"] = node("PreviewImage", images=["mask", 0])
    graph.pop("picture")
    result = answered(comfy, graph)
    (mask,) = pictures(comfy, result, "see")
    assert mask.size == (150, 70)
    (shown,) = [comfy.view(**images(result)[0]["picture"])]
    with Image.open(io.BytesIO(shown)) as seen:
        assert seen.width / seen.height == pytest.approx(150 / 70, rel=0.1)
