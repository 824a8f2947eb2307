"""Styles from the graph's own pictures, and from a list of folders."""

from __future__ import annotations

import shutil

import pytest

from tools.comfy.client import Comfy, ComfyError
from tools.comfy.graphs import changed, node, upto, workflow
from tools.comfy.server import PACK_ROOT

from .test_nodes import text

GREY, RED, BLUE = 0x808080, 0xFF2020, 0x2020FF


def style(number: int, name: str, color: int, texts: str) -> dict:
    size = {"width": 64, "height": 64, "batch_size": 4}
    return {
        f"see{number}": node("EmptyImage", color=color, **size),
        f"style{number}": node(
            "GudaStyleFromImages", images=[f"see{number}", 0], name=name, texts=texts
        ),
    }


def joined(first: str = "Rouge", texts: str = "a wall\na door\na roof\na floor") -> dict:
    return (
        style(1, first, RED, texts)
        | style(2, "Azure", BLUE, "a wall, in azure style")
        | {
            "groups": node("GudaGroupsFromImages", style_1=["style1", 0], style_2=["style2", 0]),
            "read": node("PreviewAny", source=["groups", 1]),
        }
    )


def test_pictures_of_the_graph_make_groups_and_are_kept_once(comfy: Comfy):
    graph = joined() | {
        "model": node("GudaLoadModel", model="built-in demo"),
        "ask": node("EmptyImage", width=64, height=64, batch_size=1, color=GREY),
        "attribute": node(
            "GudaAttribute", model=["model", 0], image=["ask", 0], groups=["groups", 0],
            prompt="a wall", evaluations=4, schedule="log", seed=0,
        ),
    }  # fmt: skip
    kept = comfy.base / "user" / "guda" / "styles"
    before = set(kept.glob("*"))
    result = comfy.run(graph)
    assert result.ok, result.message
    said = text(result, "read")
    assert "Rouge: 4 pictures" in said and "a door" in said
    (payload,) = result.outputs["attribute"]["guda"]
    assert {s["group"] for s in payload["images"][0]["scores"]} == {"Rouge", "Azure"}
    (made,) = set(kept.iterdir()) - before
    assert len(list(made.glob("Rouge/*.png"))) == 4

    comfy.free()  # as after a restart: nothing of the graph is cached
    again = comfy.run(graph)
    assert again.ok and set(kept.iterdir()) == before | {made}
    assert any("an earlier run" in t for n, t in again.texts if n == "attribute")
    (same,) = again.outputs["attribute"]["guda"]
    assert same["images"][0]["scores"] == payload["images"][0]["scores"]


@pytest.mark.parametrize(
    ("first", "texts", "said"),
    [
        ("Azure", "a wall", "Two styles are called 'Azure'"),
        ("a/b", "a wall", "give the style a name"),
        ("Rouge", "a\nb\nc", "3 texts were given for 4 pictures"),
    ],
)
def test_what_makes_no_style_is_refused(comfy: Comfy, first: str, texts: str, said: str):
    result = comfy.run(joined(first, texts))
    assert not result.ok and said in result.message


def test_a_folder_is_chosen_from_the_list(comfy: Comfy):
    source = PACK_ROOT / "guda" / "demo" / "styles"
    shutil.copytree(source, comfy.base / "input" / "listed")
    (comfy.base / "input" / "listed2").mkdir()
    spec = comfy.object_info("GudaGroupsFromFolder")["input"]["optional"]["input_folder"]
    options = spec[0] if isinstance(spec[0], list) else spec[1]["options"]
    assert "listed" in options and "listed2" not in options
    graph = {
        "groups": node("GudaGroupsFromFolder", folder="", input_folder="listed"),
        "read": node("PreviewAny", source=["groups", 1]),
    }
    result = comfy.run(graph)
    assert result.ok, result.message
    assert "Twemoji" in text(result, "read")
    with pytest.raises(ComfyError, match="input_folder"):
        comfy.queue(changed(graph, "groups", input_folder="not there"))


def test_the_queue_takes_no_folder_that_is_not_listed_by_way_of_a_path(comfy: Comfy):
    graph = upto(workflow(), "model") | {
        "groups": node("GudaGroupsFromFolder", folder="", input_folder="../../etc"),
        "read": node("PreviewAny", source=["groups", 1]),
    }
    with pytest.raises(ComfyError):
        comfy.queue(graph)
