"""Saved workflows and API callers go on working: ids, inputs and outputs are permanent."""

from __future__ import annotations

import copy

import pytest

from tools.comfy.client import Comfy
from tools.stability import breaking, read, shapes


def test_nothing_breaks_saved_workflows(comfy: Comfy):
    assert breaking(read(), shapes(comfy)) == []


def test_additions_are_entered(comfy: Comfy):
    hint = "if this is meant, run `python -m tools.stability` and commit object_info.json"
    assert shapes(comfy) == read(), hint


def renamed(nodes: dict, old: str, new: str) -> dict:
    return {new if key == old else key: value for key, value in nodes.items()}


def put_first(inputs: dict, name: str, **changes) -> dict:
    return {
        name: {"type": "INT", "part": "optional", "socket": False, "control": False} | changes
    } | inputs


BREAKS = {
    "node removed": lambda n: n.pop("GudaHeatMap"),
    "node renamed": lambda n: n.update(GudaMap=n.pop("GudaHeatMap")),
    "input removed": lambda n: n["GudaHeatMap"]["inputs"].pop("group"),
    "input renamed": lambda n: n["GudaHeatMap"].update(
        inputs=renamed(n["GudaHeatMap"]["inputs"], "group", "style")
    ),
    "input of another type": lambda n: n["GudaHeatMap"]["inputs"]["picture"].update(type="FLOAT"),
    "widget made a socket": lambda n: n["GudaHeatMap"]["inputs"]["group"].update(socket=True),
    "widget after the seed": lambda n: n["GudaUnlearn"]["inputs"]["seed"].update(control=True),
    "input made required": lambda n: n["GudaUnlearn"]["inputs"]["seed"].update(part="required"),
    "new required input": lambda n: n["GudaHeatMap"]["inputs"].update(
        put_first({}, "more", part="required")
    ),
    "new widget in front": lambda n: n["GudaHeatMap"].update(
        inputs=put_first(n["GudaHeatMap"]["inputs"], "more")
    ),
    "widgets swapped": lambda n: n["GudaHeatMap"].update(
        inputs=dict(reversed(n["GudaHeatMap"]["inputs"].items()))
    ),
    "option removed": lambda n: n["GudaUnlearn"]["inputs"]["anchor"]["options"].pop(),
    "range narrowed": lambda n: n["GudaHeatMap"]["inputs"]["opacity"].update(max=0.5),
    "output removed": lambda n: n["GudaHeatMap"]["outputs"].pop(),
    "outputs swapped": lambda n: n["GudaHeatMap"]["outputs"].reverse(),
    "output of another type": lambda n: n["GudaHeatMap"]["outputs"][1].update(type="IMAGE"),
    "no output node": lambda n: n["GudaSaveReport"].update(output_node=False),
}
FINE = {
    "node added": lambda n: n.update(GudaMore=n["GudaHeatMap"]),
    "optional input added last": lambda n: n["GudaHeatMap"]["inputs"].update(put_first({}, "more")),
    "option added": lambda n: n["GudaUnlearn"]["inputs"]["anchor"]["options"].append("more"),
    "range widened": lambda n: n["GudaHeatMap"]["inputs"]["opacity"].update(max=2.0),
    "output added last": lambda n: n["GudaHeatMap"]["outputs"].append(
        {"name": "more", "type": "STRING", "list": False}
    ),
    "input made optional": lambda n: n["GudaHeatMap"]["inputs"]["attribution"].update(
        part="optional"
    ),
}


@pytest.mark.parametrize("change", BREAKS.values(), ids=BREAKS)
def test_a_break_is_seen(change):
    new = copy.deepcopy(read())
    change(new)
    assert breaking(read(), new)


@pytest.mark.parametrize("change", FINE.values(), ids=FINE)
def test_an_addition_is_no_break(change):
    new = copy.deepcopy(read())
    change(new)
    assert breaking(read(), new) == [] and new != read()
