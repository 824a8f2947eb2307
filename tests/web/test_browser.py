"""The panel in "Attribute to Styles", in a real page: the long template with small numbers."""

from __future__ import annotations

import io
import json
import re
import uuid

import numpy as np
import pytest
from PIL import Image

from tools.comfy import panel
from tools.comfy.browser import SHOWN, ComfyPage
from tools.comfy.client import Comfy
from tools.comfy.panel import STYLES, check, look, questions, seen, set_small, slide
from tools.workflows.template_long import EVERY_STYLE


@pytest.fixture(scope="module")
def answered(site: tuple[Comfy, str, dict], chromium):
    """A page whose long template has run: (page, name, history entry, what it asked)."""
    comfy, name, settings = site
    context = chromium.new_context(
        viewport={"width": 1440, "height": 1620},
        permissions=["clipboard-read", "clipboard-write"],
    )
    try:
        page = ComfyPage.open(context, comfy, settings)
        page.load(json.loads(EVERY_STYLE.path.read_text("utf-8")) | {"id": str(uuid.uuid4())})
        shown = page.locator(".guda-panel")
        shown.wait_for(timeout=SHOWN)
        assert shown.count() == 1 and "Press Run" in shown.inner_text()
        set_small(page)
        asked = questions(page)
        entry = page.run()
        assert entry["status"]["status_str"] == "success", entry["status"]
        look(page)
        yield page, name, entry, asked
    finally:
        context.close()


def payload_of(entry: dict) -> dict:
    (found,) = (o["guda"][0] for o in entry["outputs"].values() if "guda" in o)
    return found


@pytest.mark.slow
def test_a_run_fills_the_panel(answered):
    page, name, entry, _ = answered
    check(page, payload_of(entry), 0)
    panel.keep(page, f"panel-{name}")
    sizes = page.page.evaluate(panel.TEXTS)
    assert len(sizes) > 30 and min(size for _, size in sizes) >= 11, sizes
    assert page.errors() == []


@pytest.mark.slow
def test_a_style_is_seen_with_it_and_without_it(answered):
    page, name, entry, _ = answered
    drawn = payload_of(entry)["sheets"]
    assert len(drawn) == STYLES, "the counterfactuals were made with their sheets"
    rows = page.locator(".guda-rows .guda-row")
    style = rows.nth(1).locator(".guda-name").inner_text()
    rows.nth(1).click()
    page.page.wait_for_function(panel.LOADED)
    page.locator(".guda-sheet").click()
    whole = page.locator(".guda-dialog img")
    page.page.wait_for_function("() => document.querySelector('.guda-dialog img').naturalWidth > 0")
    assert style in whole.get_attribute("alt")
    assert (whole.evaluate("i => i.naturalWidth"), whole.evaluate("i => i.width > 400")) == (
        636,
        True,
    )
    panel.keep(page, f"sheet-{name}")
    page.locator(".guda-dialog .guda-button").click()
    assert page.locator(".guda-dialog").count() == 0
    rows.nth(0).click()


@pytest.mark.slow
def test_half_zoom_is_readable(answered):
    page, name, entry, _ = answered
    look(page, 0.5)
    sizes = page.page.evaluate(panel.TEXTS)
    shot = panel.keep(page, f"panel-{name}-half")
    check(page, payload_of(entry), 0)
    look(page)
    assert min(size for _, size in sizes) * 0.5 >= 9.5, (sizes, shot)
    assert page.page.evaluate(panel.TEXTS)[0][1] < sizes[0][1]


@pytest.mark.slow
def test_a_click_lays_a_style_s_map_over_the_picture(answered):
    page, name, entry, _ = answered
    scores = payload_of(entry)["images"][0]["scores"]
    rows, tag = page.locator(".guda-rows .guda-row"), page.locator(".guda-tag")
    assert tag.inner_text() == scores[0]["group"]
    first = seen(page)
    rows.nth(STYLES - 1).click()
    page.page.wait_for_function(panel.LOADED)
    page.pause(300)
    assert tag.inner_text() == scores[STYLES - 1]["group"]
    assert page.locator(".guda-profile strong").inner_text() == scores[STYLES - 1]["group"]
    assert rows.nth(STYLES - 1).get_attribute("aria-selected") == "true"
    last = seen(page)
    assert np.abs(first - last).mean() > 1, "the same picture under another style's map"
    panel.keep(page, f"panel-{name}-last-style")

    slide(page, "opacity", 0)
    plain = seen(page)
    slide(page, "opacity", 100)
    strong = seen(page)
    slide(page, "opacity", 70)
    assert np.abs(plain - strong).mean() > np.abs(plain - last).mean() > 0.5

    slide(page, "divider", 50)
    half = seen(page)
    slide(page, "divider", 0)
    middle, edge = half.shape[1] // 2, 30  # the grip is 25 pixels wide, the style's name below
    left, right = np.s_[:-50, edge : middle - edge], np.s_[:-50, middle + edge :]
    assert half[left].size and np.abs(half - plain)[left].mean() < 1, "the left is no picture"
    assert half[right].size and np.abs(half - last)[right].mean() < 1, "the right is no map"
    rows.nth(0).click()


@pytest.mark.slow
def test_the_keyboard_reaches_everything(answered):
    page, _, entry, _ = answered
    images, keys = payload_of(entry)["images"], page.page.keyboard
    rows, tag = page.locator(".guda-rows .guda-row"), page.locator(".guda-tag")
    rows.nth(0).focus()
    keys.press("ArrowDown")
    assert tag.inner_text() == images[0]["scores"][1]["group"]
    keys.press("End")
    assert tag.inner_text() == images[0]["scores"][-1]["group"]
    outline = "e => getComputedStyle(e).outlineStyle"
    assert rows.nth(STYLES - 1).evaluate(outline) == "solid", "no focus to be seen"
    keys.press("Home")
    picks = page.locator(".guda-pick")
    picks.nth(0).focus()
    keys.press("ArrowRight")
    check(page, payload_of(entry), 1)
    assert picks.nth(1).evaluate("e => e === document.activeElement")
    keys.press("ArrowLeft")
    check(page, payload_of(entry), 0)
    reached = set()
    for _ in range(6):
        keys.press("Tab")
        reached.add(page.page.evaluate("() => document.activeElement.className"))
    assert len(reached & {"guda-divider", "guda-opacity", "guda-button"}) == 3, reached
    page.locator(".guda-divider").focus()
    keys.press("ArrowRight")
    assert page.locator(".guda-divider").input_value() == "1"
    keys.press("ArrowLeft")
    named = "e => e.getAttribute('aria-label') || e.textContent || e.title"
    controls = page.locator(".guda-panel :is(button, input, [role=option], [role=listbox])")
    assert all(controls.evaluate_all(f"all => all.map({named})"))


@pytest.mark.slow
def test_tables_are_copied_and_the_report_opens(answered):
    page, name, entry, _ = answered
    payload, clipboard = payload_of(entry), "() => navigator.clipboard.readText()"
    for label, key in {"Copy table": "markdown", "Copy CSV": "csv"}.items():
        page.page.get_by_role("button", name=label, exact=True).click()
        said = page.locator(".guda-said").filter(has_text="Copied")
        said.wait_for(timeout=SHOWN)
        assert page.page.evaluate(clipboard) == payload[key]
        said.wait_for(state="detached", timeout=SHOWN)
    page.page.get_by_role("button", name="Open report").click()
    frame = page.page.frame_locator(".guda-dialog iframe")
    assert frame.locator("h1").inner_text(timeout=SHOWN) == "Style attribution"
    cards = frame.locator("section.card[id^=picture]")
    page.comes(lambda: cards.count() == len(payload["images"]))
    panel.keep(page, f"report-{name}")
    frame.locator(".overview a").nth(1).click()
    page.pause(500)
    assert frame.locator("h1").inner_text() == "Style attribution", "a link left the report"
    page.locator(".guda-dialog").get_by_role("button", name="Close", exact=True).click()
    page.locator(".guda-dialog").wait_for(state="detached", timeout=SHOWN)


@pytest.mark.slow
def test_a_result_comes_back(answered):
    """After a reload from the server's history; and as the front end shows an entry of it."""
    page, name, entry, asked = answered
    payload, shown = payload_of(entry), page.locator(".guda-panel")
    # Neither the panel nor what the run added shifts a value, not even through a saved file.
    key = next(k for k, n in asked.items() if n["class_type"] == "GudaAttribute")
    assert questions(page) == asked and "attribution" not in asked[key]["inputs"]
    saved = json.loads(page.page.evaluate("() => JSON.stringify(window.app.graph.serialize())"))
    page.load(saved)
    assert questions(page) == asked
    settings = {"Comfy.VueNodes.Enabled": "nodes2" in name}
    page.reload(settings)
    page.load(saved)
    page.locator(".guda-verdict").wait_for(timeout=SHOWN)
    look(page)
    check(page, payload, 0)
    assert "last run" in page.locator(".guda-note").first.inner_text()

    page.load(saved | {"id": "00000000-0000-4000-8000-000000000001"})  # never run
    page.pause(1500)
    assert "Press Run" in shown.inner_text()
    page.page.evaluate("outputs => { window.app.nodeOutputs = outputs }", entry["outputs"])
    page.pause(300)
    look(page)
    check(page, payload, 0)
    assert page.errors() == []


@pytest.mark.slow
def test_cards_hold_the_workflow_unless_comfyui_shall_not(answered):
    page, name, entry, asked = answered
    (shown,) = (
        o
        for o in entry["outputs"].values()
        if any("card" in i["filename"] for i in o.get("images", ()))
    )
    assert len(shown["images"]) == 2
    for link in shown["images"]:
        with Image.open(io.BytesIO(page.comfy.view(**link))) as card:
            texts = card.info
        if name.startswith("newest"):  # started with --disable-metadata
            assert "prompt" not in texts and "workflow" not in texts
        else:
            prompt, workflow = json.loads(texts["prompt"]), json.loads(texts["workflow"])
            assert {k: v["inputs"] for k, v in asked.items()} == {
                k: v["inputs"] for k, v in prompt.items() if k in asked
            }
            assert {str(n["id"]) for n in workflow["nodes"]} > asked.keys()


@pytest.mark.slow
def test_cancelling_says_what_is_kept(answered):
    """The last test on this page: it leaves another graph."""
    page, name, _, _ = answered
    page.load(EVERY_STYLE.path)
    set_small(page, steps=2000, checkpoint_every=2, set_name=f"stopped-{name}")
    look(page, which="n => n.type === 'GudaUnlearn'")  # Nodes 2.0 hides words on a small canvas
    before = set(page.comfy.get("/history"))
    page.page.evaluate("() => window.app.queuePrompt(0)")
    try:
        progress = page.page.get_by_text(re.compile("^Style 1 of 5, Noto Blob: step .* left"))
        page.patiently(lambda slice: progress.first.wait_for(timeout=slice))
        page.pause(1500)
        panel.keep(page, f"running-{name}")
    finally:
        page.comfy.interrupt()
    assert page.wait_finished(before)["status"]["status_str"] == "error"
    page.page.get_by_text(re.compile("^Kept: Noto Blob up to step")).first.wait_for(timeout=SHOWN)
    page.page.get_by_text("Stopped. Kept: Noto Blob up to step").first.wait_for(timeout=SHOWN)
    panel.keep(page, f"stopped-{name}")
    assert page.errors() == []


COLOURS = """() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 })
    const context = canvas.getContext('2d', { willReadFrequently: true })
    const rgb = color => {
        context.fillStyle = color
        context.fillRect(0, 0, 1, 1)
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3)
    }
    const of = (selector, what) =>
        rgb(getComputedStyle(document.querySelector(selector))[what])
    return {
        back: of('.guda-panel', 'backgroundColor'),
        text: of('.guda-verdict', 'color'),
        muted: of('.guda-detail', 'color'),
        bar: of('.guda-lead .guda-bar', 'backgroundColor'),
    }
}"""


def contrast(a: list[int], b: list[int]) -> float:
    """WCAG 2.2."""

    def luminance(rgb: list[int]) -> float:
        linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4
                  for v in (c / 255 for c in rgb)]  # fmt: skip
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def invented(verdict: str = "A <b>", **changes) -> dict:
    score = {"delta": 3.0, "low": 2.0, "high": 4.0, "share": 1.0, "rank": 1}
    profile = [{"from": 1, "to": 99, "delta": -1.0}, {"from": 100, "to": 999, "delta": 4.0}]
    image = {"image": "i", "prompt": "p", "verdict": verdict, "sentence": verdict,
             "headline": verdict, "detail": verdict, "named": [verdict], "scale": 1.0,
             "scores": [{"group": verdict, "profile": profile} | score | changes]}  # fmt: skip
    return {"images": [image], "unit": "nats", "interval": "95 % interval", "note": verdict,
            "markdown": verdict, "csv": verdict}  # fmt: skip


SHOW = "p => window.app.graph._nodes.find(n => n.type === 'GudaAttribute').onExecuted({guda: [p]})"


@pytest.mark.parametrize("palette", ["dark", "light"])
def test_colours_follow_the_theme(page: ComfyPage, palette: str):
    page.reload({"Comfy.ColorPalette": palette})
    page.load(EVERY_STYLE.path)
    page.page.evaluate(SHOW, invented())
    page.locator(".guda-verdict").wait_for()
    light = palette == "light"
    page.comes(lambda: (sum(page.page.evaluate(COLOURS)["back"]) > 380) == light)
    seen = page.page.evaluate(COLOURS)
    panel.keep(page, f"theme-{palette}")
    assert contrast(seen["text"], seen["back"]) >= 7
    assert contrast(seen["muted"], seen["back"]) >= 4.5
    assert contrast(seen["bar"], seen["back"]) >= 2


def test_names_are_never_markup(page: ComfyPage):
    """Styles and prompts come from users and from shared workflows."""
    page.load(EVERY_STYLE.path)
    evil = "<img src=x onerror='window.hacked = true'>"
    payload = invented(evil, delta=None, low=None, high=None, share=None)
    (image,) = payload["images"]
    gone = {"filename": "gone.png", "subfolder": "guda", "type": "temp"}
    image |= {"image": evil, "prompt": evil, "picture": gone}
    image["heatmaps"] = [{"group": evil, **gone}]
    page.page.evaluate(SHOW, json.loads(json.dumps(payload)))
    gone = page.locator(".guda-gone")
    page.comes(lambda: gone.count() == 5)  # pictures of a temp folder since emptied
    assert page.locator(".guda-verdict").inner_text() == evil
    assert page.locator(".guda-panel img").count() == 0
    assert "run again" in page.locator(".guda-before").inner_text()
    assert page.page.evaluate("() => window.hacked") is None


def test_a_verdict_from_null_pictures_comes_with_their_distribution(page: ComfyPage):
    page.load(EVERY_STYLE.path)
    payload = invented("Ink")
    (image,) = payload["images"]
    image |= {"outcome": "style", "null": {"bars": [1, 0.5, 0, 0], "mark": 0.75, "cut": 0.5},
              "evidence": {"lower": 199, "null_pictures": 200, "strength": "strong"}}  # fmt: skip
    payload["notes"] = ["Held against 200 pictures."]
    page.page.evaluate(SHOW, payload)
    page.locator(".guda-null").wait_for()
    bars, this, cut = (page.locator(f".guda-null {x}") for x in ("i", ".guda-this", ".guda-cut"))
    tall = bars.evaluate_all("all => all.map(b => b.getBoundingClientRect().height)")
    assert len(tall) == 4 and tall[0] == pytest.approx(2 * tall[1], abs=1.5) and tall[2] == 0
    places = [b.evaluate("b => b.getBoundingClientRect().left") for b in (cut, this)]
    assert places[0] < places[1]
    assert page.locator(".guda-note").all_inner_texts()[1:] == payload["notes"]
    del image["null"], payload["notes"]
    page.page.evaluate(SHOW, json.loads(json.dumps(payload)))
    assert page.locator(".guda-null").count() == 0
