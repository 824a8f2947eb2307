"""The subgraph blueprint: the server lists it, the node library adds it, and it runs."""

from __future__ import annotations

import json

import pytest

from tools.comfy import panel
from tools.comfy.browser import SHOWN, ComfyPage
from tools.comfy.client import PACK_FOLDER, Comfy
from tools.comfy.panel import SMALL
from tools.workflows.blueprint import BLUEPRINT, INPUTS, INSIDE, OUTPUTS

NAME = BLUEPRINT.stem
SITES = [("installed", "classic"), ("newest", "nodes2")]
SIDEBAR = """() => window.app.extensionManager.command.execute(
    'Workspace.ToggleSidebarTab.node-library')"""
LISTEN = """() => {
    window.said = []
    new MutationObserver(() => {
        for (const line of document.querySelectorAll('.guda-running'))
            if (line.checkVisibility()) window.said.push(line.textContent)
    }).observe(document, { subtree: true, childList: true, characterData: true })
}"""
OUTER = """() => {
    const node = window.app.graph._nodes.find(n => n.subgraph)
    return {
        title: node.title, inputs: node.inputs.map(i => i.name),
        outputs: node.outputs.map(o => o.name), widgets: node.widgets.map(w => w.name),
    }
}"""
FEED = """asked => {
    const { graph } = window.app
    const outer = graph._nodes.find(n => n.subgraph)
    const inner = Object.fromEntries(outer.subgraph._nodes.map(n => [n.type, n]))
    for (const [type, changes] of Object.entries(asked.small))
        for (const [name, value] of Object.entries(changes)) {
            const widget = inner[type]?.widgets.find(w => w.name === name)
            if (widget) widget.value = value
        }
    for (const [name, value] of Object.entries(asked.outer))
        outer.widgets.find(w => w.name === name).value = value
    const load = window.LiteGraph.createNode('LoadImage')
    graph.add(load)
    load.pos = [-400, 0]
    load.widgets[0].value = asked.file
    load.connect(0, outer, outer.inputs.findIndex(i => i.name === 'image'))
    const see = window.LiteGraph.createNode('PreviewImage')
    graph.add(see)
    see.pos = [700, 0]
    outer.connect(outer.outputs.findIndex(o => o.name === 'charts'), see, 0)
}"""


def test_the_server_lists_it(comfy: Comfy):
    listed = comfy.get("/global_subgraphs")
    (key,) = (k for k, v in listed.items() if v["name"] == NAME)
    assert listed[key]["info"]["node_pack"] == f"custom_nodes.{PACK_FOLDER}"
    served = json.loads(comfy.get(f"/global_subgraphs/{key}")["data"])
    assert served == json.loads(BLUEPRINT.read_text("utf-8"))


def test_holds_the_quick_start_s_nodes():
    """One subgraph node, whose parts are linked as in the quick start."""
    made = json.loads(BLUEPRINT.read_text("utf-8"))
    (outer,), (inside,) = made["nodes"], made["definitions"]["subgraphs"]
    assert outer["type"] == inside["id"] and inside["name"] == NAME
    assert inside["category"] == "GUDA" and "Which styles" in inside["description"]
    assert "which artist" in made["extra"]["BlueprintSearchAliases"]
    assert {str(n["id"]): n["type"] for n in inside["nodes"]} == {
        k: n["class_type"] for k, n in INSIDE.items()
    }
    assert [i["name"] for i in inside["inputs"]] == [name for _, name in INPUTS]
    assert [o["name"] for o in inside["outputs"]] == list(OUTPUTS)


@pytest.mark.slow
@pytest.mark.parametrize("site", SITES, ids="-".join, indirect=True)
def test_is_added_from_the_node_library_and_runs(site, chromium):
    comfy, name, settings = site
    context = chromium.new_context(viewport={"width": 1440, "height": 1200})
    try:
        page = ComfyPage.open(context, comfy, settings)
        place(page)
        outer = page.page.evaluate(OUTER)
        assert outer["title"] == NAME and outer["outputs"] == list(OUTPUTS)
        assert set(outer["inputs"]) >= {n for _, n in INPUTS}
        assert set(outer["widgets"]) == {"model", "styles", "set_name", "prompt", "attribution"}
        assert "Press Run" in page.locator(".guda-panel:visible").inner_text()
        prompt = f"rocket, in twemoji style, {name}"  # no other page's scores are kept for it
        file = comfy.upload(panel.PACK_ROOT / "guda/demo/styles/Twemoji/rocket.jpg")
        page.page.evaluate(
            FEED,
            {
                "small": SMALL,
                "outer": {"set_name": "panel", "prompt": prompt},
                "file": file,
            },
        )
        sent = page.graph_to_prompt()
        kinds = {n["class_type"]: (k, n["inputs"]) for k, n in sent.items()}
        for item in INSIDE.values():
            for key, value in item["inputs"].items():
                if isinstance(value, list):
                    linked = kinds[item["class_type"]][1][key]
                    assert sent[linked[0]]["class_type"] == INSIDE[value[0]]["class_type"]
                    assert linked[1] == value[1]
        attribute, asked = kinds["GudaAttribute"]
        assert asked["prompt"] == prompt
        assert sent[asked["image"][0]]["class_type"] == "LoadImage"
        assert kinds["GudaUnlearn"][1]["set_name"] == "panel"
        page.page.evaluate(LISTEN)
        entry = page.run()
        assert entry["status"]["status_str"] == "success", entry["status"]
        (image,) = entry["outputs"][attribute]["guda"][0]["images"]
        assert len(image["scores"]) == panel.STYLES
        assert answer(page) == [image["headline"]]
        said = page.page.evaluate("() => window.said")
        assert any(text.startswith("Scoring: style") for text in said), said
        panel.look(page, which="n => n.subgraph")
        panel.keep(page, f"blueprint-{name}")
        asked = panel.questions(page)
        saved = json.loads(page.page.evaluate("() => JSON.stringify(window.app.graph.serialize())"))
        assert set(saved["id"]) - {"0", "-"}, "a cleared graph has no id of its own"
        page.reload(settings)
        page.load(saved)
        assert panel.questions(page) == asked
        assert answer(page) == [image["headline"]]
        assert page.errors() == []
    finally:
        context.close()


def answer(page: ComfyPage) -> list[str]:
    """What the panels in view say, once there is one that says something."""
    verdict = page.locator(".guda-verdict:visible")
    verdict.first.wait_for(timeout=SHOWN)
    return verdict.all_inner_texts()


def place(page: ComfyPage) -> None:
    """As a user does: the node library's search, and a click; newer ones want a place, too."""
    page.page.evaluate(SIDEBAR)
    search = page.page.locator(".side-bar-panel, .sidebar-content-container").locator("input")
    search.first.wait_for(timeout=SHOWN)
    search.first.fill(NAME)
    page.page.get_by_text(NAME, exact=True).first.click()
    page.pause(1000)
    for _ in range(10):
        if page.page.evaluate("() => window.app.graph._nodes.length"):
            break
        page.page.mouse.click(900, 200)
        page.pause(1000)
    assert page.page.evaluate("() => window.app.graph._nodes.length") == 1
    page.page.evaluate(SIDEBAR)
