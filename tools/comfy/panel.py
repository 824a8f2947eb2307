"""The panel in ComfyUI's page: what it shows, and the quick start with small numbers."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .browser import SHOWN, ComfyPage
from .server import PACK_ROOT

ARTIFACTS = PACK_ROOT / "tests" / "artifacts"  # kept by the CI
SMALL = {  # node type: widget: value
    "GudaGroupsFromPrompts": {"pictures": 12, "steps": 6, "guidance": 3.0},
    "GudaUnlearn": {
        "steps": 16, "lr": 0.02, "rank": 4, "anchor": "uniform", "set_name": "panel",
    },
    "GudaGeneratePictures": {"prompts": "fox, in twemoji style\ntrophy, in ink style", "steps": 6},
    "GudaAttribute": {"evaluations": 32},
}  # fmt: skip
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
    style: row.querySelector('.guda-name').textContent,
    width: row.querySelector('.guda-bar').getBoundingClientRect().width,
    whisker: row.querySelector('.guda-whisker').getBoundingClientRect().width,
    delta: row.querySelector('.guda-delta').textContent,
    bins: row.querySelectorAll('.guda-plot > span').length,
}))"""
TEXTS = """() => [...document.querySelectorAll('.guda-panel *')]
    .filter(e => e.checkVisibility() && [...e.childNodes].some(c => c.nodeType === 3 &&
        c.textContent.trim()))
    .map(e => [e.className, parseFloat(getComputedStyle(e).fontSize)])"""


def as_graph(path: Path) -> dict:
    """The workflow without what makes newer front ends open it as an app."""
    workflow = json.loads(path.read_text("utf-8"))
    for key in ("linearMode", "linearData"):
        workflow["extra"].pop(key, None)
    return workflow


def value(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-").replace(",", ""))


def set_small(page: ComfyPage, **unlearn) -> None:
    page.page.evaluate(SET, SMALL | {"GudaUnlearn": SMALL["GudaUnlearn"] | unlearn})


def questions(page: ComfyPage) -> dict:
    """The pack's nodes as they would be queued; ComfyUI's previews write into their own inputs."""
    nodes = page.graph_to_prompt().items()
    return {k: n for k, n in nodes if n["class_type"].startswith("Guda")}


ATTRIBUTE = "n => n.type === 'GudaAttribute'"


def look(page: ComfyPage, scale: float = 1.0, which: str = ATTRIBUTE) -> None:
    """A node at the left top of the window."""
    (left, top), _ = page.place(which)
    page.look_at(left - 80 / scale, top - 100 / scale, scale)
    page.pause(900)  # the panel looks how large it is three times a second


def keep(page: ComfyPage, name: str) -> Path:
    """A screenshot among the artefacts."""
    ARTIFACTS.mkdir(exist_ok=True)
    path = page.screenshot(ARTIFACTS / f"{name}.png")
    print(path)
    return path


def seen(page: ComfyPage) -> np.ndarray:
    """The picture under its heat map, as it is on screen: (H, W, 3), without its border."""
    shot = page.locator(".guda-frame").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)[4:-4, 4:-4]


def slide(page: ComfyPage, control: str, to: int) -> None:
    page.locator(f".guda-{control}").evaluate(
        "(e, to) => { e.value = to; e.dispatchEvent(new Event('input')) }", to
    )
    page.pause(200)


def check(page: ComfyPage, payload: dict, index: int) -> None:
    """The panel shows picture `index` of the payload, all of it."""
    image = payload["images"][index]
    assert page.locator(".guda-verdict").inner_text() == image["headline"]
    assert page.locator(".guda-detail").text_content() == image["detail"]
    assert payload["note"] in page.locator(".guda-note").first.inner_text()
    rows = page.locator(".guda-rows .guda-row").evaluate_all(ROWS)
    assert [r["style"] for r in rows] == [s["group"] for s in image["scores"]]
    assert len(rows) == STYLES and all(r["whisker"] > 0 and r["bins"] > 1 for r in rows)
    lengths = [abs(value(r["delta"])) for r in rows]
    assert lengths == pytest.approx([abs(s["delta"]) for s in image["scores"]], rel=0.1, abs=1)
    order = sorted(range(STYLES), key=lambda i: abs(image["scores"][i]["delta"]))
    widths = [rows[i]["width"] for i in order]
    assert all(a <= b + 0.5 for a, b in itertools.pairwise(widths)) and widths[-1] > 8
    page.page.wait_for_function(LOADED, timeout=SHOWN)
    pictures = len(payload["images"])
    sheets = len([s for s in payload["sheets"] if s["group"] == image["scores"][0]["group"]])
    assert page.locator(".guda-sheet img").count() == sheets
    assert page.locator(".guda-panel img").count() == pictures + 3 + 2 * STYLES + sheets
    named = page.locator(".guda-rows .guda-lead, .guda-rows .guda-tied").count()
    assert named == len(image["named"])
