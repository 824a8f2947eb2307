"""The example workflows are what they were built from, layout and all."""

from __future__ import annotations

import json

import pytest

from tools.comfy.browser import ComfyPage
from tools.comfy.client import Comfy
from tools.comfy.graphs import overlaps
from tools.comfy.panel import as_graph
from tools.workflows.templates import TEMPLATES, Template

NAMES = sorted(TEMPLATES)
MOUNTED = """() => window.app.graph._nodes.every(
    node => document.querySelector(`.lg-node[data-node-id="${node.id}"]`))"""
SHOWN = """() => window.app.graph._nodes.map(node => {
    const { width, height } = document
        .querySelector(`.lg-node[data-node-id="${node.id}"]`).getBoundingClientRect()
    const { scale } = window.app.canvas.ds
    const title = window.LiteGraph.NODE_TITLE_HEIGHT
    return { id: node.id, type: node.type, pos: [...node.pos],
             size: [width / scale, height / scale - title] }
})"""


@pytest.mark.parametrize("name", NAMES)
def test_converts_to_its_graph(comfy: Comfy, examples: dict, name: str):
    template, made = TEMPLATES[name], examples[name][0]
    assert {k: n["class_type"] for k, n in made.items()} == {
        k: n["class_type"] for k, n in template.graph.items()
    }
    for key, asked in template.graph.items():
        described = comfy.object_info(asked["class_type"])["input"]
        known = described["required"] | described.get("optional", {})
        assert set(asked["inputs"]) <= set(known), key
        for value, spec in known.items():
            if value in asked["inputs"]:
                assert made[key]["inputs"][value] == asked["inputs"][value], (key, value)
            elif len(spec) > 1 and "default" in spec[1]:
                assert made[key]["inputs"][value] == spec[1]["default"], (key, value)


@pytest.mark.parametrize("name", NAMES)
def test_no_node_is_cut_off(examples: dict, name: str):
    assert examples[name][1] == []


@pytest.mark.parametrize("name", NAMES)
def test_seeds_stay_and_each_opening_gets_an_id(name: str):
    made = json.loads(TEMPLATES[name].path.read_text("utf-8"))
    assert not set(made["id"]) - {"0", "-"}, "all copies would show each other's answers"
    nodes = made["nodes"]
    values = [v for n in nodes for v in n.get("widgets_values") or []]
    assert "randomize" not in values


@pytest.mark.parametrize("name", NAMES)
def test_nothing_overlaps(name: str):
    template: Template = TEMPLATES[name]
    made = json.loads(template.path.read_text("utf-8"))
    assert not overlaps(made["nodes"])
    assert {g["title"] for g in made["groups"]} == set(template.groups)
    assert template.path.with_suffix(".jpg").read_bytes().startswith(b"\xff\xd8")


def test_nothing_overlaps_in_nodes2(newest_comfy: Comfy, chromium):
    """There nodes are taller: rows, a footer with the pack's name."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    try:
        page = ComfyPage.open(context, newest_comfy, {"Comfy.VueNodes.Enabled": True})
        for template in TEMPLATES.values():
            page.load(as_graph(template.path))
            page.pause(1000)
            page.page.wait_for_function(MOUNTED)
            assert not overlaps(page.settled(SHOWN)), template.name
    finally:
        context.close()
