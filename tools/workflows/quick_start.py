"""Takes the pictures of the README, the quick start and the help pages in a real front end.

From the project's root:

    python -m tools.workflows.quick_start pictures
    python -m tools.workflows.quick_start start      # docs/images alone
    python -m tools.workflows.quick_start alone      # of the nodes that no run is needed for

GUDA_WORK=FOLDER keeps ComfyUI's folders there, so that the next call finds what this one learned.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Locator

from ..comfy.browser import ComfyPage
from ..comfy.graphs import node
from ..comfy.panel import ATTRIBUTE, as_graph
from ..comfy.server import PACK_ROOT
from .making import opened
from .template_demo import QUICK_START
from .template_long import EVERY_STYLE

HELP, IMAGES = PACK_ROOT / "web" / "docs", PACK_ROOT / "docs" / "images"
GRAPH, PANEL = IMAGES / "graph.png", IMAGES / "panel.png"
WHOLE = (-385, -80, 2270)  # left, top and width: all nodes of the quick start, in a wide window
ALONE = {  # nodes that are not in the graph: what they are shown with
    "GudaAttributeAny": {"styles": "Van Gogh: van gogh\nHokusai: hokusai", "prompt": "a mountain"},
    "GudaGroupsFromFolder": {"folder": "built-in example"},
    "GudaGroupsFromImages": {},
    "GudaStyleFromImages": {"name": "Monet", "texts": "a pond\na bridge"},
    "GudaLoadCounterfactuals": {},
    "GudaModelFromGraph": {},
    "GudaNullPool": {"styles": "twemoji\nvan gogh"},
    "GudaNullPoolAny": {"styles": "twemoji\nvan gogh", "folder": "photographs"},
    "GudaStylesKnown": {"styles": "twemoji\nvan gogh"},
    "GudaWithoutStyle": {"style": "Fluent Ink"},
}
PLAIN = {"Comfy.Graph.CanvasInfo": False, "Comfy.Graph.CanvasMenu": False}
NODES2 = PLAIN | {"Comfy.VueNodes.Enabled": True}
USED = """panel => panel.querySelector('.guda-note').getBoundingClientRect().bottom
    - panel.getBoundingClientRect().top"""


def take_pictures(timeout: float = 900.0) -> None:
    with opened(2480, 1290) as page:
        page.reload(PLAIN)
        take_start(page)
        take_node_pictures(page, timeout)


def take_start(page: ComfyPage) -> None:
    """The quick start after a run, and its panel."""
    ran(page, as_graph(QUICK_START.path), 120.0)
    page.page.evaluate(
        "() => window.app.extensionManager.command.execute('Workspace.ToggleFocusMode')"
    )
    page.page.wait_for_timeout(1000)
    page.frame(*WHOLE)
    page.page.wait_for_timeout(1500)
    save_small(page.screenshot(GRAPH))
    take_panel(page)


def ran(page: ComfyPage, workflow: Any, timeout: float) -> None:
    page.load(workflow)
    entry = page.run(timeout)
    if entry["status"]["status_str"] != "success":
        raise SystemExit(f"the workflow failed: {entry['status']}")


def take_panel(page: ComfyPage) -> None:
    """The panel in both themes side by side."""
    (left, top), (_, height) = page.place(ATTRIBUTE)
    page.look_at(left - 80, top + height + 40 - page.window[1], 1.0)
    light, dark = [themed(page, palette) for palette in ("light", "dark")]
    both = Image.new("RGB", (dark.width + 16 + light.width, dark.height), "white")
    both.paste(dark, (0, 0))
    both.paste(light, (dark.width + 16, 0))
    both.save(PANEL, optimize=True)


def themed(page: ComfyPage, palette: str) -> Image.Image:
    """The panel down to its note in this theme, which stays."""
    choose = "p => window.app.extensionManager.setting.set('Comfy.ColorPalette', p)"
    page.page.evaluate(choose, palette)
    page.page.wait_for_timeout(1500)
    panel = page.locator(".guda-panel")
    shot = taken(panel)
    return shot.crop((0, 0, shot.width, round(panel.evaluate(USED)) + 12))


def taken(element: Locator) -> Image.Image:
    return Image.open(io.BytesIO(element.screenshot())).convert("RGB")


def save_small(path: Path) -> None:
    """A screenshot with the colours that it needs, a third of the size."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(255, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def take_node_pictures(page: ComfyPage, timeout: float) -> None:
    """Every node as Nodes 2.0 shows it after a run; those that are not in the graph, empty."""
    page.reload(NODES2)
    ran(page, EVERY_STYLE.path, timeout)
    for node_id, made in page.graph_to_prompt().items():
        if made["class_type"].startswith("Guda"):
            take_node_picture(page, int(node_id), made["class_type"])
    take_alone(page)


def take_beginning() -> None:
    """The quick start alone: seconds."""
    with opened(2480, 1290) as page:
        page.reload(PLAIN)
        take_start(page)


def take_the_rest() -> None:
    """Without a run."""
    with opened(2480, 1290) as page:
        page.reload(NODES2)
        take_alone(page)


def take_alone(page: ComfyPage) -> None:
    """The nodes that are not in the graph."""
    page.page.evaluate("() => window.app.graph.clear()")
    for number, (kind, inputs) in enumerate(ALONE.items(), 101):  # no node of the graph has these
        page.load({str(number): node(kind, **inputs)})
        saved = page.page.evaluate("() => JSON.stringify(window.app.graph.serialize())")
        workflow = json.loads(saved)
        workflow["nodes"][0]["size"][0] = 400
        page.load(workflow)
        take_node_picture(page, number, kind)


def take_node_picture(page: ComfyPage, node_id: int, kind: str) -> None:
    (left, top), (_, height) = page.place(f"n => n.id === {node_id}")
    scale = min(1.0, (page.window[1] - 180) / (height + 60))
    page.look_at(left - 200 / scale, top - 120 / scale, scale)
    page.page.wait_for_timeout(1500)
    picture = taken(page.locator(f'[data-node-id="{node_id}"]').first)
    picture.thumbnail((640, 1100))
    images = HELP / "images"
    images.mkdir(exist_ok=True)
    picture.save(images / f"{kind}.jpg", quality=60)
    text, link = (HELP / f"{kind}.md").read_text("utf-8"), f"(images/{kind}.jpg)"
    if link not in text:
        title, first, rest = text.split("\n\n", 2)
        shown = f"![{title.removeprefix('# ')}]{link}"
        text = "\n\n".join((title, first, shown, rest))
        (HELP / f"{kind}.md").write_text(text, "utf-8")


if __name__ == "__main__":
    {"pictures": take_pictures, "start": take_beginning, "alone": take_the_rest}[sys.argv[1]]()
