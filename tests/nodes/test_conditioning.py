"""The graph's own model, prompts and conditioning, in a real ComfyUI."""

from __future__ import annotations

import pytest

from tools.comfy.client import Comfy, Result
from tools.comfy.graphs import Graph, changed, node

from .. import checkpoints

FILE = "sub/small.safetensors"
SIDE = 32
STYLES = "Ink: ink\nOil: oil\nWax: wax"
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


def test_both_nodes_say_the_same(comfy: Comfy, plain: dict):
    (own,) = images(answered(comfy, asking(OWN)))
    assert own["elbo"] == pytest.approx(plain["elbo"], rel=1e-3)
    size = max(map(abs, deltas(own).values()))
    assert deltas(plain) == pytest.approx(deltas(own), rel=1e-3, abs=1e-3 * size)
    assert [len(i["heatmaps"]) for i in (own, plain)] == [3, 3]


@pytest.mark.parametrize("kind", [ANY, OWN])
def test_the_conditioning_of_a_text_is_the_text(comfy: Comfy, plain: dict, kind: str):
    (same,) = images(answered(comfy, asking(kind, positive=["text", 0])))
    assert same["elbo"] == pytest.approx(plain["elbo"], rel=1e-3)
    size = max(map(abs, deltas(same).values()))
    assert deltas(same) == pytest.approx(deltas(plain), rel=1e-3, abs=1e-3 * size)


def test_weights_count_as_in_a_ksampler(comfy: Comfy, plain: dict):
    """In the graph's own text encoder, and in a conditioning for the pack's."""
    (weighed,) = images(answered(comfy, asking(ANY, prompt="a (fox:1.6) in the snow")))
    assert abs(weighed["elbo"] - plain["elbo"]) > 1e-4 * abs(plain["elbo"])
    graph = changed(asking(OWN, positive=["text", 0]), "text", text="a (fox:1.6) in the snow")
    (own,) = images(answered(comfy, graph))
    assert own["elbo"] == pytest.approx(weighed["elbo"], rel=1e-3)


@pytest.mark.parametrize(("kind", "prompts"), [(ANY, 1), (OWN, 2)])
def test_as_many_lines_as_pictures_are_spoken_of(comfy: Comfy, small: str, kind: str, prompts: int):
    """To the node that was there before, each is a prompt; else all lines are one."""
    graph = changed(asking(kind, prompt="a fox\nin the snow"), "picture", batch_size=2)
    result = answered(comfy, graph)
    whole = ["a fox\nin the snow"] * 2
    assert [i["prompt"] for i in images(result)] == (
        whole if prompts == 1 else ["a fox", "in the snow"]
    )
    under = [text for where, text in result.texts if where == "attribute"]
    assert "The prompt has 2 lines, as many as there are pictures" in under[-1]


def test_more_lines_are_one_prompt(comfy: Comfy, small: str):
    (image,) = images(answered(comfy, asking(OWN, prompt="a fox\nin the snow")))
    assert image["prompt"] == "a fox\nin the snow"


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


def test_what_only_the_graph_s_own_model_takes(comfy: Comfy, small: str):
    """Flux' guidance goes along with every style there, and is refused by the pack's own."""
    more = {"more": node("FluxGuidance", conditioning=["text", 0], guidance=2.0)}
    answered(comfy, asking(ANY, positive=["more", 0]) | more)
    refused = comfy.run(asking(OWN, positive=["more", 0]) | more, timeout=560.0)
    assert "positive carries guidance, of which it is not known" in refused.message


def test_styles_stand_behind_a_conditioning_without_a_text(comfy: Comfy, plain: dict):
    found = [
        images(answered(comfy, asking(kind, prompt="", positive=["text", 0])))[0]
        for kind in (ANY, OWN)
    ]
    assert deltas(found[0]) != deltas(plain)
    size = max(map(abs, deltas(found[1]).values()))
    assert deltas(found[0]) == pytest.approx(deltas(found[1]), rel=1e-3, abs=1e-3 * size)
    assert found[0]["elbo"] == pytest.approx(plain["elbo"], rel=1e-3)
