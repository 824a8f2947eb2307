"""Workflows that were saved with earlier versions load with their values, and run."""

from __future__ import annotations

import json

import pytest

from tools.comfy.browser import ComfyPage
from tools.comfy.client import Comfy
from tools.comfy.server import PACK_ROOT

from .test_templates_run import DEMO, check, run, shrunk

SAVED = sorted((PACK_ROOT / "tests" / "fixtures" / "workflows").glob("*.json"))
ADDED = {"control_after_generate"}


@pytest.fixture(scope="module")
def loaded(comfy: Comfy, chromium) -> dict[str, dict]:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    try:
        page = ComfyPage.open(context, comfy)
        made = {}
        for path in SAVED:
            page.load(path)
            made[path.stem] = page.graph_to_prompt()
        return made
    finally:
        context.close()


@pytest.mark.parametrize("path", SAVED, ids=lambda p: p.stem)
def test_keep_their_values(loaded: dict, path):
    saved = json.loads(path.read_text("utf-8"))
    graph, kept = loaded[path.stem], 0
    links = {(link[3], link[4]) for link in saved["links"]}
    for node in saved["nodes"]:
        if not node["type"].startswith("Guda"):
            continue
        inputs = graph[str(node["id"])]["inputs"]
        names = [i["name"] for i in node["inputs"] if "widget" in i]
        linked = {n["name"] for k, n in enumerate(node["inputs"]) if (node["id"], k) in links}
        for name, value in zip(names, node["widgets_values"], strict=True):
            assert isinstance(inputs[name], list) == (name in linked), name
            assert name in linked or inputs[name] == value, (node["type"], name)
            kept += 1
    assert kept > 20


def test_the_direct_answer_of_before_runs(comfy: Comfy, loaded: dict):
    graph = loaded["answered_at_once"]
    assert check(graph, run(comfy, graph), 5, 1)["images"][0]["scores"][0]["group"] == "Fluent Ink"


@pytest.mark.slow
def test_the_quick_start_of_before_runs(comfy: Comfy, loaded: dict):
    graph = shrunk(loaded["quick_start"], DEMO)
    check(graph, run(comfy, graph), 5, 5)
