"""The panel in "Attribute to Styles", in a real page: the quick start with small numbers."""

from __future__ import annotations

import itertools

import pytest

from .browser import ComfyPage
from .quick_start import WORKFLOW
from .server import PACK_ROOT

ARTIFACTS = PACK_ROOT / "tests" / "artifacts"
SMALL = {  # node type: widget: value
    "GudaGroupsFromPrompts": {"pictures": 12, "steps": 6, "guidance": 3.0},
    "GudaUnlearn": {"steps": 16, "lr": 0.02, "rank": 4, "anchor": "uniform"},
    "GudaGeneratePictures": {"prompts": "fox, in twemoji style\ntrophy, in ink style", "steps": 6},
    "GudaAttribute": {"evaluations": 32},
}
STYLES = 5
SET = """changes => {
    for (const node of window.app.graph._nodes)
        for (const [name, value] of Object.entries(changes[node.type] ?? {}))
            node.widgets.find(w => w.name === name).value = value
}"""
LOADED = """() => {
    const images = [...document.querySelectorAll('.guda-panel img')]
    return images.length > 0 && images.every(i => i.complete && i.naturalWidth > 0)
}"""
ROWS = """rows => rows.map(row => ({
    style: row.querySelector('th').textContent,
    width: row.querySelector('.guda-bar').getBoundingClientRect().width,
    whisker: row.querySelector('.guda-whisker').getBoundingClientRect().width,
    delta: row.querySelector('.guda-number').firstChild.textContent,
}))"""


def value(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-").replace(",", ""))


def questions(page: ComfyPage) -> dict:
    """The pack's nodes as they would be queued; ComfyUI's previews write into their own inputs."""
    nodes = page.graph_to_prompt().items()
    return {k: n for k, n in nodes if n["class_type"].startswith("Guda")}


def check_panel(page: ComfyPage, payload: dict, index: int) -> None:
    image = payload["images"][index]
    assert page.locator(".guda-verdict").inner_text() == image["sentence"]
    assert page.locator(".guda-note").inner_text() == payload["note"]
    rows = page.locator(".guda-table tbody tr").evaluate_all(ROWS)
    assert [r["style"] for r in rows] == [s["group"] for s in image["scores"]]
    assert len(rows) == STYLES and all(r["whisker"] > 0 for r in rows)
    lengths = [abs(value(r["delta"])) for r in rows]
    assert lengths == pytest.approx([abs(s["delta"]) for s in image["scores"]], rel=0.1, abs=1)
    order = sorted(range(STYLES), key=lambda i: abs(image["scores"][i]["delta"]))
    widths = [rows[i]["width"] for i in order]
    assert all(a <= b + 0.5 for a, b in itertools.pairwise(widths)) and widths[-1] > 8
    page.page.wait_for_function(LOADED, timeout=10_000)
    assert page.locator(".guda-panel img").count() == 1 + len(image["heatmaps"])


@pytest.mark.slow
@pytest.mark.parametrize("nodes2", [False, True], ids=["classic", "nodes2"])
def test_panel(page: ComfyPage, nodes2: bool):
    if nodes2:
        page.use_nodes2()
    page.load(WORKFLOW)
    panel = page.locator(".guda-panel")
    assert panel.count() == 1 and "Press Run" in panel.inner_text()
    page.page.evaluate(SET, {**SMALL, "GudaUnlearn": SMALL["GudaUnlearn"] | {"set_name": "panel"}})
    asked = questions(page)
    entry = page.run(timeout=300)
    assert entry["status"]["status_str"] == "success", entry["status"]
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(ARTIFACTS / f"panel-{'nodes2' if nodes2 else 'classic'}.png")
    key = next(k for k, o in entry["outputs"].items() if "guda" in o)
    (payload,) = entry["outputs"][key]["guda"]
    check_panel(page, payload, 0)

    page.locator(".guda-choice").focus()
    page.page.keyboard.press("ArrowDown")
    check_panel(page, payload, 1)
    previous = page.locator(".guda-arrow").first
    previous.focus()
    page.page.keyboard.press("Enter")
    check_panel(page, payload, 0)
    assert previous.is_disabled()

    # Neither the panel nor what the run added shifts a value, not even through a saved file.
    assert questions(page) == asked and "attribution" not in asked[key]["inputs"]
    page.load(page.page.evaluate("() => window.app.graph.serialize()"))
    assert questions(page) == asked
    assert page.errors() == []

    page.reload({"Comfy.VueNodes.Enabled": nodes2})
    page.load(WORKFLOW)
    assert "Press Run" in panel.inner_text()
    # As the front end does for an entry of its history.
    page.page.evaluate("outputs => { window.app.nodeOutputs = outputs }", entry["outputs"])
    page.page.wait_for_timeout(300)
    check_panel(page, payload, 0)
    assert page.errors() == []


def test_names_are_never_markup(page: ComfyPage):
    """Styles and prompts come from users and from shared workflows."""
    page.load(WORKFLOW)
    evil = "<img src=x onerror='window.hacked = true'>"
    score = {"group": evil, "delta": None, "low": None, "high": None, "share": None, "rank": 1}
    image = {"image": evil, "prompt": evil, "verdict": evil, "sentence": evil, "scores": [score]}
    gone = {"filename": "gone.png", "subfolder": "guda", "type": "temp"}
    image |= {"picture": gone, "heatmaps": [{"group": evil, **gone}]}
    payload = {"images": [image], "unit": "nats", "interval": "95 % interval", "note": evil}
    page.page.evaluate(
        "p => window.app.graph._nodes.find(n => n.type === 'GudaAttribute')"
        ".onExecuted({ guda: [p] })",
        payload,
    )
    page.page.wait_for_timeout(500)
    assert page.locator(".guda-verdict").inner_text() == evil
    assert page.locator(".guda-panel img").count() == 0
    assert page.locator(".guda-gone").count() == 2  # pictures of a temp folder since emptied
    assert page.page.evaluate("() => window.hacked") is None
