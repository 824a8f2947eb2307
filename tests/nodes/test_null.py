"""*Null Pool* and what *Attribute to Styles* makes of it, in a real ComfyUI."""

from __future__ import annotations

from tools.comfy.client import Comfy
from tools.comfy.graphs import STYLES, node, upto, workflow

WRITTEN = "\n".join(f"{name}: {phrase}" for name, phrase in STYLES.items())
ASKED = {"evaluations": 4, "schedule": "log", "seed": 0, "styles": WRITTEN}


def graph(size: int, **attribute) -> dict:
    asked = ASKED | attribute
    return upto(workflow(), "generate") | {
        "null": node(
            "GudaNullPool",
            **{"model": ["model", 0], "size": size, "prompts": "named"},
            folder="built-in example",
            **ASKED,
        ),
        "attribute": node(
            "GudaAttribute",
            model=["model", 0],
            image=["generate", 0],
            prompt=["generate", 1],
            null_pool=["null", 0],
            **asked,
        ),
        "read_verdict": node("PreviewAny", source=["attribute", 4]),
    }


def test_a_pool_is_kept_and_the_answer_is_held_against_it(comfy: Comfy):
    folder = comfy.base / "output" / "guda" / "null"
    others = set(folder.glob("*"))
    result = comfy.run(graph(6))
    assert result.ok, (result.error, comfy.log_tail())
    assert result.outputs["null"]["text"] == ["named (asked with a style's name): 6 of a folder"]
    (payload,) = result.outputs["attribute"]["guda"]
    assert payload["null"]["origin"] == "real"
    for image in payload["images"]:
        assert image["outcome"] == "not enough" and image["evidence"]["null_pictures"] == 6
        assert image["headline"] == "Not enough to tell" and image["named"] == []
        assert len(image["null"]["bars"]) == 32 and image["null"]["cut"] is None
        assert 0 <= image["null"]["mark"] <= 1
    (said,) = result.outputs["read_verdict"]["text"]
    assert set(said.splitlines()) == {"not enough to tell"}
    (file,) = set(folder.glob("null-real-*.json")) - others
    before = file.stat().st_mtime_ns
    again = comfy.run(graph(6, confidence=0.9))
    assert again.ok and file.stat().st_mtime_ns == before


def test_a_pool_with_other_settings_is_refused(comfy: Comfy):
    result = comfy.run(graph(6, evaluations=8))
    assert result.status == "error" and "evaluations (4 then, 8 now)" in result.message
