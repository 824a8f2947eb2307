"""The quick start: an app, then a small graph, and its panel shows every style at once."""

from __future__ import annotations

import json

from tools.comfy import panel
from tools.comfy.browser import SHOWN, ComfyPage
from tools.comfy.client import Comfy
from tools.comfy.panel import as_graph, look
from tools.workflows.template_demo import QUICK_START

HIDDEN = """() => {
    const body = document.querySelector('.guda-scroll').getBoundingClientRect()
    return [...document.querySelectorAll('.guda-rows .guda-row')]
        .filter(row => row.getBoundingClientRect().bottom > body.bottom).length
}"""

OVER = """() => [...document.querySelectorAll('.guda-panel')]
    .map(panel => [panel, panel.closest('.lg-node-widgets')])
    .filter(([panel, list]) => list && panel.getBoundingClientRect().bottom
        > list.getBoundingClientRect().bottom + 1)
    .map(([panel]) => panel.className)"""


def test_is_an_app_whose_answer_is_the_card(comfy: Comfy, examples: dict):
    saved = json.loads(QUICK_START.path.read_text("utf-8"))
    assert saved["extra"]["linearMode"] is True
    data, graph = saved["extra"]["linearData"], examples["quick_start"][0]
    assert len(graph) <= 6
    for number, name in data["inputs"]:
        assert not isinstance(graph[str(number)]["inputs"][name], list)
    (shown,) = data["outputs"]
    assert graph[str(shown)]["class_type"] == "GudaSaveReport"


def test_all_five_styles_are_seen_without_scrolling(site: tuple[Comfy, str, dict], chromium):
    comfy, name, settings = site
    context = chromium.new_context(viewport={"width": 1440, "height": 1300})
    try:
        page = ComfyPage.open(context, comfy, settings)
        page.load(as_graph(QUICK_START.path))
        assert page.run()["status"]["status_str"] == "success"
        look(page)
        page.locator(".guda-verdict").wait_for(timeout=SHOWN)
        assert page.locator(".guda-rows .guda-row").count() == 5
        page.page.wait_for_function(f"() => ({HIDDEN})() === 0", timeout=SHOWN)
        page.page.set_viewport_size({"width": 1440, "height": 900})  # and as it opens on a laptop
        page.pause(500)
        page.fit()
        page.page.wait_for_function(f"() => ({HIDDEN})() === 0", timeout=SHOWN)
        panel.keep(page, f"quick-start-{name}")
        assert "Fluent Ink" in page.locator(".guda-verdict").inner_text()
        page.load(QUICK_START.path)  # as the app that it is
        page.pause(500)
        assert page.page.evaluate(OVER) == [], "the panel lies over other inputs"
    finally:
        context.close()
