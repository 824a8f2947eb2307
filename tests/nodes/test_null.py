"""*Null Pool* and what *Attribute to Styles* makes of it, in a real ComfyUI."""

from __future__ import annotations

from PIL import Image

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


def test_a_folder_whose_pictures_changed_is_read_again(comfy: Comfy):
    folder = comfy.base / "input" / "photos"
    folder.mkdir()
    for i in range(4):
        Image.new("RGB", (40, 40), (60 * i, 90, 200)).save(folder / f"{i}.png")
    asked = upto(graph(4), "null")
    asked["null"]["inputs"] |= {"folder": "photos", "seed": 7}  # a pool of its own
    (first,) = comfy.run(asked).outputs["null"]["text"]
    assert first.endswith("4 of a folder")
    Image.new("RGB", (40, 40), (255, 0, 0)).save(folder / "0.png")
    (again,) = comfy.run(asked).outputs["null"]["text"]
    assert again.endswith("5 of a folder")
    assert "or not as they were (1), and they count as well" in comfy.log()
