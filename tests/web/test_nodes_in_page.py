"""The nodes in ComfyUI's page: what a user enters arrives at the server unchanged."""

from __future__ import annotations

import pytest

from tools.comfy.browser import ComfyPage
from tools.comfy.client import Comfy
from tools.comfy.graphs import changed, node, workflow


def widgets(info: dict) -> dict:
    return {
        name: spec[1]["default"]
        for part in ("required", "optional")
        for name, spec in info["input"].get(part, {}).items()
        if "default" in spec[1]
    }


@pytest.mark.parametrize("nodes2", [False, True], ids=["classic", "nodes2"])
def test_values_arrive_unchanged(page: ComfyPage, nodes2: bool):
    if nodes2:
        page.use_nodes2()
    graph = changed(workflow(), "unlearn", lr=2e-6, seed=2**53 - 1, clip_norm=0.05)
    graph = changed(graph, "groups", template="{content} {style}", styles="A: {a|b}\nB: c")
    graph = {str(k): v for k, v in zip(range(1, len(graph) + 1), renumbered(graph), strict=True)}
    page.load(graph)
    sent = page.graph_to_prompt()
    assert sent.keys() == graph.keys()
    for key, wanted in graph.items():
        assert sent[key]["inputs"].items() >= wanted["inputs"].items(), key
    assert not page.errors()


def renumbered(graph: dict) -> list[dict]:
    """The page wants numbers for ids."""
    ids = {name: str(k) for k, name in enumerate(graph, 1)}
    return [
        node(
            item["class_type"],
            **{
                key: [ids[v[0]], v[1]] if isinstance(v, list) else v
                for key, v in item["inputs"].items()
            },
        )
        for item in graph.values()
    ]


def test_typed_numbers_are_not_rounded_away(page: ComfyPage):
    """A widget rounds what is typed to its step; loading a graph does not."""
    page.load({"1": node("GudaUnlearn", set_name="x")})
    typed = {"lr": 2e-6, "steps": 100_000, "checkpoint_every": 5000, "heldout": 0.17}
    kept = page.page.evaluate(
        """typed => {
            const node = window.app.graph.getNodeById(1)
            return Object.fromEntries(Object.entries(typed).map(([name, value]) => {
                const w = node.widgets.find(w => w.name === name)
                w.value = value
                w.callback?.call(w, value)
                return [name, w.value]
            }))
        }""",
        typed,
    )
    assert kept == typed


def test_new_nodes_hold_the_defaults(page: ComfyPage, comfy: Comfy):
    infos = comfy.pack_nodes()
    page.load({str(k): node(name) for k, name in enumerate(infos, 1)})
    sent = page.graph_to_prompt()
    for k, (name, info) in enumerate(infos.items(), 1):
        assert sent[str(k)]["inputs"].items() >= widgets(info).items(), name
        shown = [w["name"] for w in page.node(k)["widgets"]]
        assert "control_after_generate" not in shown, name
