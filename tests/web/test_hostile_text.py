"""Names and prompts that try to be more than text, in the page of the oldest front end allowed."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path

import pytest

from tools.comfy.browser import ComfyPage
from tools.comfy.client import Comfy
from tools.comfy.graphs import CONTENTS, LEARNING, SAMPLING, SCORING, Graph, node
from tools.comfy.server import PACK_ROOT

from .test_nodes_in_page import renumbered

TIMEOUT = 300.0
GOLDEN = PACK_ROOT / "tests" / "fixtures" / "golden_set" / "set"
SCRIPT = "<img src=x onerror=window.hacked=1>"
STYLES = (
    f"Blob {SCRIPT} [[free|https://example.com/a]] https://example.com/b www.example.com __LNK0__",
    "<svg onload='window.hacked=2'></svg>&lt;b&gt; \u202eknI",
)
PROMPT = f"fox, in twemoji style {SCRIPT} <a href='javascript:window.hacked=3'>click</a>"
FOUND = """() => ({
    hacked: window.hacked ?? null,
    planted: document.querySelectorAll('img[src="x"], svg[onload], a[href^="javascript:"]').length,
    links: document.querySelectorAll('a[href*="example.com"]').length,
})"""
NOTHING = {"hacked": None, "planted": 0, "links": 0}
PROGRESS = """() => {
    window.said = []
    window.app.api.addEventListener('progress_text', e => window.said.push(e.detail.text))
}"""
MENUS = """() => {
    const found = []
    for (const node of window.app.graph._nodes)
        for (const { type, options } of node.widgets ?? []) {
            if (type !== 'combo') continue
            const menu = new LiteGraph.ContextMenu([...options.values], {})
            found.push(...options.values)
            menu.close()
        }
    return found
}"""


def paged(graph: Graph) -> Graph:
    return {str(k): v for k, v in enumerate(renumbered(graph), 1)}


def hostile_set(folder: Path) -> None:
    """A finished set of the built-in model's whose styles are called so."""
    shutil.copytree(GOLDEN, folder)
    manifest = folder / "counterfactuals.json"
    data = json.loads(manifest.read_text("utf-8"))
    for group, name in zip(data["groups"], STYLES, strict=True):
        group |= {"name": name, "gate": data["groups"][0]["gate"]}
    manifest.write_text(json.dumps(data), "utf-8")


def test_names_and_prompts_stay_text(page: ComfyPage):
    hostile_set(page.comfy.base / "models" / "loras" / "guda" / "hostile")
    graph = {
        "model": node("GudaLoadModel", model="built-in demo"),
        "set": node("GudaLoadCounterfactuals", set_name="hostile"),
        "draw": node("GudaGeneratePictures", model=["model", 0], prompts=PROMPT, **SAMPLING),
        "attribute": node(
            "GudaAttribute",
            model=["model", 0],
            counterfactuals=["set", 0],
            image=["draw", 0],
            prompt=PROMPT,
            **SCORING | {"evaluations": 64, "batch_size": 4},  # long enough that each is said
        ),
        "read": node("PreviewAny", source=["attribute", 1]),
    }
    page.page.evaluate(PROGRESS)
    page.load(paged(graph))
    entry = page.run(TIMEOUT)
    assert entry["status"]["status_str"] == "success", entry["status"]
    said = page.page.evaluate("window.said")
    for name in STYLES:
        shown = name.replace("\u202e", "\\u202e")
        assert any(shown in html.unescape(text) for text in said), name
    assert not [text for text in said if set("<>[") & set(text) or "www." in text]
    assert page.page.evaluate(FOUND) == NOTHING and not page.errors()
    panel = page.locator(".guda-panel").text_content()
    for text in (*STYLES, PROMPT):
        assert text.replace("\u202e", "\\u202e") in panel
    (payload,) = next(o["guda"] for o in entry["outputs"].values() if "guda" in o)
    hidden = "\u202e" in json.dumps(payload, ensure_ascii=False)
    assert not hidden


def test_a_stopped_run_says_it_as_text(page: ComfyPage):
    """In a toast, and once more under the node."""
    styles = f"Blob {SCRIPT}: noto blob\n{SCRIPT}: twemoji"
    prompts = {"styles": styles, "contents": "\n".join(CONTENTS), "pictures": len(CONTENTS)}
    graph = {
        "model": node("GudaLoadModel", model="built-in demo"),
        "groups": node("GudaGroupsFromPrompts", model=["model", 0], **prompts, **SAMPLING),
        "unlearn": node(
            "GudaUnlearn",
            model=["model", 0],
            groups=["groups", 0],
            set_name=f"set {SCRIPT}",
            **LEARNING | {"checkpoint_every": 1, "steps": 1000, "batch_size": 1},
        ),
    }
    page.page.evaluate(PROGRESS)
    page.load(paged(graph))
    page.page.evaluate("() => window.app.queuePrompt(0)")
    said = "() => window.said.some(s => /step [1-9]\\d* of/.test(s))"
    page.comes(lambda: page.page.evaluate(said))
    before = set(page.comfy.get("/history"))
    page.comfy.interrupt()
    page.wait_finished(before, 60)
    toast = page.locator(".p-toast-message").filter(has_text="stopped")
    toast.wait_for()
    assert f"Blob {SCRIPT} up to step" in toast.inner_text()
    page.pause(1500)  # it is said once more after a second
    assert page.page.evaluate(FOUND) == NOTHING and not page.errors()
    assert "<" not in page.page.evaluate("window.said.at(-1)")


@pytest.fixture
def planted(comfy: Comfy):
    """Folders and files with names that are HTML; ordinary ones beside."""
    models = comfy.base / "models"
    made = [models / "loras" / "guda" / name for name in (SCRIPT, "plain & simple")]
    for folder in made:
        folder.mkdir(parents=True)
        (folder / "counterfactuals.json").write_text('{"groups": "<b>"}', "utf-8")
    model = models / "diffusers" / SCRIPT
    shutil.copytree(PACK_ROOT / "guda" / "demo" / "model", model)
    file = models / "checkpoints" / f"{SCRIPT}.safetensors"
    file.write_bytes(b"nothing")
    yield
    for folder in (*made, model):
        shutil.rmtree(folder)
    file.unlink()


def test_menus_hold_no_markup(page: ComfyPage, planted):
    """The oldest front end writes a combo's options into its menu as HTML."""
    page.reload()
    page.load({"1": node("GudaLoadModel"), "2": node("GudaLoadCounterfactuals")})
    options = page.page.evaluate(MENUS)
    page.pause(500)
    assert page.page.evaluate(FOUND) == NOTHING
    assert "built-in demo" in options and "plain & simple" in options
    assert not [name for name in options if "<" in name]


ERRORS = {
    "set": {"1": node("GudaLoadCounterfactuals", set_name=SCRIPT)},
    "model": {"1": node("GudaLoadModel", model=f"another {SCRIPT}")},
    "folder": {"1": node("GudaGroupsFromFolder", folder=f"{SCRIPT} [[a|https://example.com]]")},
    "style": {
        "1": node("GudaLoadModel", model="built-in demo"),
        "2": node("GudaGroupsFromPrompts", model=["1", 0], styles=f"{SCRIPT}: a\n{SCRIPT}: b"),
    },
}


@pytest.mark.parametrize("what", ERRORS)
def test_errors_stay_text(page: ComfyPage, planted, what: str):
    graph = dict(ERRORS[what])
    last = str(len(graph))
    graph["9"] = node("PreviewAny", source=[last, 0])
    page.load(graph)
    page.page.evaluate("() => window.app.queuePrompt(0)")
    dialog = page.locator(".p-dialog")
    listed = page.page.get_by_text("View details")  # newer front ends have a list at the side
    page.comes(dialog.or_(listed).first.is_visible)
    if listed.count():
        listed.first.click()
        page.pause(1000)
        for told in page.page.get_by_role("button", name=re.compile("^Info for")).all():
            told.click()
    where = (dialog if dialog.count() else page.locator("body")).first
    page.comes(lambda: SCRIPT in where.inner_text())
    assert page.page.evaluate(FOUND) == NOTHING
