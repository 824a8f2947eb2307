"""The nodes in ComfyUI's page: what a user enters arrives at the server unchanged."""

from __future__ import annotations

import copy
import json
import time
import uuid

import pytest
from playwright.sync_api import Route

from tools.comfy.browser import ComfyPage
from tools.comfy.client import Comfy
from tools.comfy.graphs import STYLES, changed, node, workflow
from tools.comfy.panel import as_graph
from tools.workflows.blueprint import BLUEPRINT
from tools.workflows.template_demo import QUICK_START


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


RUNS = """async () => {
    const { watchRuns } = await import('/extensions/comfyui-guda/panel/notify.js')
    const api = new EventTarget(), said = []
    let time = 0, away = true, wanted = true
    watchRuns(api, () => wanted, () => time, () => away, text => said.push(text))
    const run = (seconds, end) => {
        api.dispatchEvent(new Event('execution_start'))
        time += 1000 * seconds
        api.dispatchEvent(new Event(end))
    }
    run(59, 'execution_success')
    run(61, 'execution_success')
    run(3600, 'execution_error')
    away = false
    run(61, 'execution_success')
    away = true
    wanted = false
    run(61, 'execution_success')
    return said
}"""
ASKED = "() => window.app.extensionManager.setting.get('GUDA.NotifyWhenDone')"


def test_long_runs_are_told_of_to_who_asked_for_it(page: ComfyPage):
    assert page.page.evaluate(RUNS) == ["Your run is done.", "Your run failed; ComfyUI says why."]
    assert page.page.evaluate(ASKED) is False


SOCKETS = """() => window.app.graph.getNodeById(1).inputs.filter(i => i.name.startsWith('style_'))
    .map(i => i.name)"""


def test_sockets_for_styles_come_one_by_one(page: ComfyPage):
    styles = {str(k): node("GudaStyleFromImages", name=f"S{k}") for k in (2, 3, 4)}
    page.load({"1": node("GudaGroupsFromImages")} | styles)
    page.pause(300)
    assert page.page.evaluate(SOCKETS) == ["style_1", "style_2"]
    links = {f"style_{k}": [str(k + 1), 0] for k in (1, 2, 3)}
    page.load({"1": node("GudaGroupsFromImages", **links)} | styles)
    page.pause(300)
    assert page.page.evaluate(SOCKETS) == [f"style_{k}" for k in (1, 2, 3, 4)]
    sent = page.graph_to_prompt()["1"]["inputs"]
    assert {k: v for k, v in sent.items() if k in links} == links
    assert not page.errors()


STOPPED = """async () => {
    const { api } = window.app, said = []
    const second = () => new Promise(passed => setTimeout(passed, 1500))
    api.addEventListener('progress_text', e => said.push(e.detail.text))
    api.dispatchCustomEvent('guda.stopped', { node: '1', title: 'Stopped', text: 'Kept: all.' })
    await second()
    const before = said.length
    api.dispatchCustomEvent('execution_interrupted', { prompt_id: 'mine', node_id: '1' })
    await second()
    return [before, said]
}"""


def test_what_is_kept_is_said_once_more_when_the_run_has_ended(page: ComfyPage):
    """However long it takes to end: newer front ends clear then what was said before."""
    page.load({"1": node("GudaUnlearn", set_name="x")})
    assert page.page.evaluate(STOPPED) == [0, ["Stopped. Kept: all."]]


PROMPTS = """() => window.app.graph._nodes.map(n => n.widgets?.find(w => w.name === 'attribution'))
    .filter(Boolean).map(w => w.element.querySelector('.guda-prompt')?.textContent ?? '')"""
ANSWERED = """([path, prompt]) => window.comfyAPI.api.api.dispatchCustomEvent('executed', {
    node: path, display_node: path, prompt_id: 'nobody knows', output: { guda: [{
        images: [{ headline: 'h', detail: 'd', prompt, named: [], scale: 1, scores: [
            { group: 'Ink', delta: 1, low: 0, high: 2, share: 1, rank: 1, profile: [] }] }],
        unit: 'nats', interval: '95 % interval', note: '', markdown: '', csv: '' }] } })"""

WITHIN = """() => window.app.graph._nodes.find(n => n.subgraph).subgraph.nodes
    .find(n => n.type === 'GudaAttribute').id"""
OLDER = "() => { window.app.nodeOutputs = { 3: { guda: [{ images: [], unit: 'nats' }] } } }"


def test_an_answer_inside_a_subgraph_is_not_that_of_a_node_with_the_same_number(page: ComfyPage):
    """Ids are of one graph alone: what is inside a blueprint is numbered from 1, too."""
    both = json.loads(BLUEPRINT.read_text("utf-8"))
    ((outer,), (inside,)) = both["nodes"], both["definitions"]["subgraphs"]
    (number,) = (n["id"] for n in inside["nodes"] if n["type"] == "GudaAttribute")
    alone = {"id": number, "type": "GudaAttribute", "pos": [900, 0], "size": [600, 900]}
    both["nodes"].append(alone | {"inputs": [], "outputs": [], "widgets_values": None})
    page.load(both)
    ids = page.page.evaluate("() => window.app.graph._nodes.map(n => String(n.id))")
    assert ids == [str(outer["id"]), str(number)]
    path = f"{outer['id']}:{page.page.evaluate(WITHIN)}"  # newer front ends number anew
    page.page.evaluate(ANSWERED, [path, "inside"])
    page.page.evaluate(ANSWERED, [str(number), "alone"])
    assert page.page.evaluate(PROMPTS) == ["inside", "alone"]
    page.page.evaluate(ANSWERED, [path, "inside again"])
    assert page.page.evaluate(PROMPTS) == ["inside again", "alone"]


def test_an_answer_goes_to_the_workflow_that_asked(page: ComfyPage):
    """Another that is opened meanwhile has a node of the same number; its own finds it there."""
    asked, other = (copy.deepcopy(as_graph(QUICK_START.path)) for _ in range(2))
    prompt = f"fox {uuid.uuid4()}"
    for graph in (asked, other):
        (attribute,) = (n for n in graph["nodes"] if n["type"] == "GudaAttribute")
        attribute["widgets_values"][0] = prompt if graph is asked else "another fox"
        attribute["widgets_values"][1] = 4
        attribute["widgets_values"][9] = "\n".join(f"{k}: {v}" for k, v in STYLES.items())
    page.load(asked)
    first = page.page.evaluate("() => window.app.graph.serialize()")

    def late(route: Route) -> None:
        answer = route.fetch()
        time.sleep(0.5)  # the run begins before the page is told that it was queued
        route.fulfill(response=answer)

    page.page.route("**/prompt", late)
    before = set(page.comfy.get("/history"))
    page.page.evaluate("() => window.app.queuePrompt(0)")
    page.load(other)
    assert page.wait_finished(before)["status"]["status_str"] == "success"
    page.pause(500)
    assert page.page.evaluate(PROMPTS) == [""]
    assert not page.locator(".guda-running:visible").count()
    page.load(first)
    page.comes(lambda: page.page.evaluate(PROMPTS) == [prompt])
    page.page.evaluate(OLDER)  # as the front end puts back what it knew of a workflow
    assert page.page.evaluate(PROMPTS) == [prompt]
    assert not page.errors()


def test_a_refused_prompt_is_no_error_of_the_pack(page: ComfyPage):
    page.load({"1": node("GudaAttribute", evaluations=4, schedule="log", seed=0, prompt="")})
    page.page.evaluate("() => window.app.queuePrompt(0).catch(error => console.error(error))")
    page.comes(lambda: any("400" in text for kind, text, _ in page.console if kind == "error"))
    page.page.wait_for_timeout(500)
    assert page.errors() == []
