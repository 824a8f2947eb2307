"""*Styles the Model Knows* in a real ComfyUI, on the built-in model."""

from __future__ import annotations

import pytest

from tools.comfy.client import Comfy
from tools.comfy.graphs import STYLES, node, upto, workflow


def graph(**inputs) -> dict:
    return upto(workflow(), "model") | {
        "known": node("GudaStylesKnown", model=["model", 0], **inputs),
        "read_table": node("PreviewAny", source=["known", 0]),
        "read_known": node("PreviewAny", source=["known", 1]),
    }


def test_the_known_styles_come_out_as_lines(comfy: Comfy):
    result = comfy.run(graph(styles="Van Gogh: van gogh\nInk: ink\ntwemoji\ndremp ulosk"))
    assert result.ok, (result.error, comfy.log_tail())
    (table,) = result.outputs["read_table"]["text"]
    assert "| Van Gogh | van gogh | not known by this name |" in table
    assert result.outputs["read_known"]["text"] == ["Ink: ink\ntwemoji: twemoji"]


def test_groups_are_asked_by_their_phrases(comfy: Comfy):
    inputs = {"styles": "", "groups": ["groups", 0], "contents": "a cat\na house"}
    result = comfy.run(upto(workflow(), "groups") | graph(**inputs))
    assert result.ok, (result.error, comfy.log_tail())
    (table,) = result.outputs["read_table"]["text"]
    assert "over 2 contents" in table and all(f"| {name} |" in table for name in STYLES)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"styles": ""}, "there are no styles to ask for; give at least one"),
        ({"styles": "ink", "contents": "a cat"}, "the contents are 'a cat'; give two"),
        ({"styles": "ink", "template": "{style}"}, "without {content}"),
    ],
)
def test_what_cannot_be_asked_is_said(comfy: Comfy, inputs: dict, words: str):
    result = comfy.run(graph(**inputs))
    assert result.status == "error" and words in result.message
