"""The example workflow is what the front end and the nodes make of their own defaults."""

from __future__ import annotations

import json

import pytest

from tools.comfy.client import Comfy
from tools.comfy.graphs import overlaps
from tools.workflows.quick_start import GRAPH_API, GROUPS, THUMBNAIL, WORKFLOW


@pytest.fixture
def workflow() -> dict:
    return json.loads(WORKFLOW.read_text(encoding="utf-8"))


def test_converts_to_defaults(comfy: Comfy, examples: dict):
    """A value that slipped into its neighbour's place would differ from the node's default."""
    graph, _ = examples["quick_start"]
    assert set(graph) == set(GRAPH_API)
    assert {k: n["class_type"] for k, n in graph.items()} == {
        k: n["class_type"] for k, n in GRAPH_API.items()
    }
    for key, made in graph.items():
        described = comfy.object_info(made["class_type"])["input"]
        for name, spec in (described["required"] | described.get("optional", {})).items():
            if name in GRAPH_API[key]["inputs"]:
                assert made["inputs"][name] == GRAPH_API[key]["inputs"][name], (key, name)
            elif "default" in spec[1]:
                assert made["inputs"][name] == spec[1]["default"], (key, name)


def test_nothing_overlaps(workflow: dict):
    assert not overlaps(workflow["nodes"])
    assert {g["title"] for g in workflow["groups"]} == set(GROUPS)


def test_has_a_thumbnail():
    assert THUMBNAIL.read_bytes().startswith(b"\xff\xd8")
