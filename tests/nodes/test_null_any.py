"""*Null Pool (Any Model)* and answers that are held against it, in a real ComfyUI."""

from __future__ import annotations

from pathlib import Path

import pytest

from guda.scoring.pool_file import read_pool
from tools.comfy.client import Comfy, Result
from tools.comfy.graphs import Graph, node

from .test_conditioning import ANY, ASKED, SIDE, answered, asking, images
from .test_conditioning import small as small  # a fixture
from .test_nodes import text

POOL = "GudaNullPoolAny"
FLOW = node("ModelSamplingSD3", model=["native", 0], shift=3.0)
"""The same network as a rectified flow, as ComfyUI samples it."""


def graph(asked: dict | None = None, **pool) -> Graph:
    """A pool of the graph's model, and an answer that is held against it.

    asked: inputs of the node that answers, where they are others.
    """
    parts = {"model": ["native", 0], "clip": ["native", 1], "vae": ["native", 2]}
    given = {"folder": "built-in example", "size": 6, "prompts": "content", "resolution": SIDE}
    made = asking(ANY, null_pool=["null", 0])
    made["attribute"]["inputs"] |= asked or {}
    return made | {"null": node(POOL, **parts | given | ASKED | pool), "flow": FLOW}


def files(comfy: Comfy) -> set[Path]:
    return set((comfy.base / "output" / "guda" / "null").glob("*.json"))


@pytest.fixture(scope="module")
def plain(comfy: Comfy, small: str) -> tuple[Result, Path]:
    """The answer of the plain graph, and its pool's file."""
    before, whole = files(comfy), graph()
    whole["read_table"] = node("PreviewAny", source=["attribute", 1])
    whole["read_verdict"] = node("PreviewAny", source=["attribute", 4])
    result = answered(comfy, whole)
    (file,) = files(comfy) - before
    return result, file


def test_an_answer_is_held_against_the_pool(comfy: Comfy, plain: tuple[Result, Path]):
    result, file = plain
    assert result.outputs["null"]["text"] == ["content (asked with what they show): 6 of a folder"]
    (payload,) = result.outputs["attribute"]["guda"]
    assert payload["null"]["origin"] == "real"
    (image,) = payload["images"]
    assert image["evidence"]["null_pictures"] == 6 and image["outcome"] == "not enough"
    pool = read_pool(file)
    assert len(pool.pictures) == 6 and not pool.basis.identity.keys() & {"weights"}
    assert all(s["p"] in [pytest.approx(n / 7) for n in range(1, 8)] for s in image["scores"])
    assert "Held against 6 pictures that it did not draw" in text(result, "read_table")
    assert text(result, "read_verdict") == "not enough to tell"
    under = [said for where, said in result.texts if where == "null"][-1]
    assert "below 45 no verdict can hold" in under


MORE = {
    "more": node("FluxGuidance", conditioning=["text", 0], guidance=2.0),
    "latents": node("EmptyLatentImage", width=64, height=64, batch_size=1),
}
OTHERS = {
    "resolution": ({"resolution": 64}, "resolution (32 then, 64 now)"),
    "evaluations": ({"evaluations": 8}, "evaluations (4 then, 8 now)"),
    "shape": ({"shape": "square"}, "shape (own then, square now)"),
    "model": ({"model": ["flow", 0]}, "ModelSamplingDiscreteFlow CONST now) and noise schedule"),
    "positive": (
        {"positive": ["more", 0]},
        "conditioning beside the text (nothing then, guidance 2 now)",
    ),
    "no prompt": (
        {"positive": ["text", 0], "prompt": ""},
        "A prompt is empty where a conditioning (positive) says what",
    ),
    "latents": (
        {"image": None, "latent": ["latents", 0]},
        "The latents are of 8 x 8 cells, and the null pool's pictures were scored at about 4 x 4",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_pool_of_another_question_is_refused_by_name(comfy: Comfy, plain, what: str):
    asked, words = OTHERS[what]
    made = graph(asked) | MORE
    inputs = made["attribute"]["inputs"]
    made["attribute"]["inputs"] = {k: v for k, v in inputs.items() if v is not None}
    result = comfy.run(made, timeout=560.0)
    assert result.status == "error" and words in result.message, result.message


def test_a_stopped_pool_of_a_rectified_flow_goes_on(comfy: Comfy, plain):
    """What was scored is kept, and the answer by the same model is held against all of it."""
    before, size = files(comfy), 10
    whole = graph({"model": ["flow", 0]}, model=["flow", 0], size=size)

    stopped = comfy.stopped(whole, "null", 8, 560.0)
    assert stopped.status == "interrupted" and stopped.error["node_id"] == "null"
    (said,) = stopped.of("guda.stopped")
    assert said["text"].startswith("Kept: every null picture that was scored.")
    (file,) = files(comfy) - before
    first = read_pool(file).pictures
    assert len(first) == 8
    comfy.free()  # so that it is found again by a model that was loaded anew
    (image,) = images(answered(comfy, whole))
    assert image["evidence"]["null_pictures"] == size
    pool = read_pool(file)
    assert [p.id for p in pool.pictures[:8]] == [p.id for p in first]
    assert len({p.id for p in pool.pictures}) == size


def test_pictures_of_the_graph_go_into_the_pool(comfy: Comfy, plain):
    """By what is in them: a picture that comes twice counts once."""
    _, file = plain
    made = graph(folder="", image=["joined", 0], contents="a wall\na lawn\na wall")
    made.pop("attribute")
    for i, color in enumerate((0x102030, 0x208020, 0x102030)):
        made[f"c{i}"] = node("EmptyImage", width=SIDE, height=SIDE, batch_size=1, color=color)
    made["two"] = node("ImageBatch", image1=["c0", 0], image2=["c1", 0])
    made["joined"] = node("ImageBatch", image1=["two", 0], image2=["c2", 0])
    result = comfy.run(made, timeout=560.0)
    assert result.ok, (result.message, comfy.log_tail())
    assert result.outputs["null"]["text"] == ["content (asked with what they show): 8 of a folder"]
    assert [p.prompt for p in read_pool(file).pictures[6:]] in (
        ["a wall", "a lawn"],
        ["a lawn", "a wall"],
    )


def test_the_model_draws_the_pictures_where_none_are_given(comfy: Comfy, plain):
    before = files(comfy)
    made = graph(folder="", contents="a cup\na boat", size=4, steps=1, cfg=2.0)
    made.pop("attribute")
    result = comfy.run(made, timeout=560.0)
    assert result.ok, (result.message, comfy.log_tail())
    assert result.outputs["null"]["text"] == [
        "content (asked with what they show): 2 without a style, 2 in styles that are not tested, "
        "1 in the styles themselves"
    ]
    (file,) = files(comfy) - before
    pool = read_pool(file)
    assert pool.origin == "generated" and pool.settings == {"steps": 1, "guidance": 2.0, "seed": 0}
    assert [p.prompt for p in pool.pictures[:3:2]] == ["a cup", "a boat"]


def test_pictures_come_from_one_place(comfy: Comfy, plain):
    result = comfy.run(graph(image=["picture", 0]), timeout=560.0)
    assert result.status == "error" and "Both image and folder give pictures" in result.message
