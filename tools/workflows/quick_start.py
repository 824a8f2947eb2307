"""Makes example_workflows/quick_start.json and its pictures in a real front end.

From the project's root:

    python -m tools.workflows.quick_start workflow     # builds quick_start.json, layout and all
    python -m tools.workflows.quick_start pictures     # runs it with its defaults, then writes
        docs/images/graph.png and panel.png, example_workflows/quick_start.jpg and the help
        pages' pictures

GUDA_WORK=FOLDER keeps ComfyUI's folders there, so that the next call finds what this one learned.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator

from ..comfy.browser import ComfyPage, launched_chromium
from ..comfy.graphs import node
from ..comfy.panel import ATTRIBUTE
from ..comfy.server import PACK_ROOT, running_comfy

WORKFLOW = PACK_ROOT / "example_workflows" / "quick_start.json"
HELP = PACK_ROOT / "web" / "docs"
THUMBNAIL, IMAGES = WORKFLOW.with_suffix(".jpg"), PACK_ROOT / "docs" / "images"
GRAPH, PANEL = IMAGES / "graph.png", IMAGES / "panel.png"
NOTE = """### Which styles did the model learn this picture from?

The built-in demo model draws five pictures, and for each of its five emoji styles *Unlearn \
Styles* makes a version of the model that never learned that style. *Attribute to Styles* \
measures, in nats, how much worse each version fits the picture than the full model: the longer \
the bar, the more the model leaned on the style. Press **Run** (a few minutes without a GPU); to \
ask about a picture of your own, link *Load Image* to `image` and describe it in `prompt`.
"""
GRAPH_API = {
    "1": node("GudaLoadModel"),
    "2": node("GudaGroupsFromPrompts", model=["1", 0]),
    "3": node("GudaUnlearn", model=["1", 0], groups=["2", 0]),
    "4": node("GudaGeneratePictures", model=["1", 0]),
    "5": node(
        "GudaAttribute", model=["1", 0], counterfactuals=["3", 0], image=["4", 0], prompt=["4", 1]
    ),
    "6": node("GudaHeatMap", attribution=["5", 0]),
    "7": node("GudaSaveReport", attribution=["5", 0]),
    "8": node("PreviewImage", images=["2", 1]),
    "9": node("PreviewAny", source=["3", 2]),
    "10": node("PreviewImage", images=["4", 0]),
    "11": node("PreviewImage", images=["5", 2]),
    "12": node("PreviewImage", images=["5", 3]),
    "13": node("PreviewAny", source=["5", 1]),
    "14": node("PreviewImage", images=["6", 0]),
}
LAYOUT = {  # id: (title, x, y, width, height); y is below the title bar
    1: ("", 0, 270, 400, 170),
    2: ("", 0, 490, 400, 460),
    8: ("Preview: what stands for each style", 0, 1000, 400, 400),
    3: ("", 460, 50, 380, 1100),
    9: ("Was each style forgotten?", 460, 1200, 380, 200),
    4: ("", 900, 50, 360, 330),
    10: ("Preview: pictures to ask about", 900, 430, 360, 400),
    5: ("", 1320, 50, 620, 1350),
    11: ("Preview: charts", 2000, 50, 420, 300),
    12: ("Preview: heat maps", 2000, 400, 420, 380),
    13: ("All scores as a table", 2000, 830, 420, 570),
    6: ("", 2480, 50, 380, 170),
    14: ("Preview: style heat map", 2480, 270, 380, 460),
    7: ("", 2480, 780, 380, 620),
}
GROUPS = {  # title: (x, y, width, height, colour)
    "1  Model and styles": (-20, 205, 440, 1215, "#3f789e"),
    "2  Unlearn every style": (440, -30, 420, 1450, "#3f789e"),
    "3  Pictures to ask about": (880, -30, 400, 880, "#3f789e"),
    "4  Which styles did the model lean on?": (1300, -30, 660, 1450, "#a1660a"),
    "5  Results": (1980, -30, 900, 1450, "#3f789e"),
}
ALONE = {  # nodes that are not in the graph: what they are shown with
    "GudaAttributeAny": {"styles": "Van Gogh: van gogh\nHokusai: hokusai", "prompt": "a mountain"},
    "GudaGroupsFromFolder": {"folder": "built-in example"},
    "GudaLoadCounterfactuals": {},
    "GudaModelFromGraph": {},
    "GudaNullPool": {"styles": "twemoji\nvan gogh"},
    "GudaStylesKnown": {"styles": "twemoji\nvan gogh"},
    "GudaWithoutStyle": {"style": "Fluent Ink"},
}
USED = """panel => panel.querySelector('.guda-note').getBoundingClientRect().bottom
    - panel.getBoundingClientRect().top"""
LAY_OUT = """([layout, groups, note, height]) => {
    const graph = window.app.graph
    for (const [id, [title, x, y, w, h]] of Object.entries(layout)) {
        const node = graph.getNodeById(id)
        node.pos = [x, y]
        node.setSize([w, h])
        if (title) node.title = title
    }
    for (const [title, [x, y, w, h, color]] of Object.entries(groups)) {
        const group = new window.LiteGraph.LGraphGroup(title)
        group.pos = [x, y]
        group.size = [w, h]
        group.color = color
        group.font_size = 24
        graph.add(group)
    }
    const text = window.LiteGraph.createNode('MarkdownNote')
    text.title = 'Start here'
    text.pos = [-20, -30]
    text.setSize([440, height])
    graph.add(text)
    text.widgets[0].value = note
    const made = JSON.parse(JSON.stringify(graph.serialize()))
    delete made.extra?.ds
    return made
}"""


@contextmanager
def work_folder():
    """For ComfyUI's folders."""
    if chosen := os.environ.get("GUDA_WORK"):
        Path(chosen).mkdir(parents=True, exist_ok=True)
        yield Path(chosen)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@contextmanager
def opened(width: int = 1600, height: int = 900):
    """A page of a ComfyUI of its own."""
    with (
        work_folder() as base,
        running_comfy(base) as comfy,
        launched_chromium() as chromium,
    ):
        context = chromium.new_context(viewport={"width": width, "height": height})
        yield ComfyPage.open(context, comfy)


def make_workflow() -> None:
    with opened() as page:
        page.load(GRAPH_API)
        made = page.page.evaluate(LAY_OUT, [LAYOUT, GROUPS, NOTE, 230])
    WORKFLOW.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def take_pictures(timeout: float = 900.0) -> None:
    with opened(2480, 1290) as page:
        page.reload({"Comfy.Graph.CanvasInfo": False, "Comfy.Graph.CanvasMenu": False})
        page.load(WORKFLOW)
        entry = page.run(timeout)
        if entry["status"]["status_str"] != "success":
            raise SystemExit(f"the workflow failed: {entry['status']}")
        page.page.evaluate(
            "() => window.app.extensionManager.command.execute('Workspace.ToggleFocusMode')"
        )
        page.page.wait_for_timeout(1000)
        page.frame(-40, -70, 2940)
        page.page.wait_for_timeout(1500)
        save_small(page.screenshot(GRAPH))
        take_panel(page)
        take_node_pictures(page, timeout)


def take_panel(page: ComfyPage) -> None:
    """The panel in both themes side by side, and in the dark one as the template's thumbnail."""
    (left, top), (_, height) = page.place(ATTRIBUTE)
    page.look_at(left - 80, top + height + 40 - page.window[1], 1.0)
    light, dark = [themed(page, palette) for palette in ("light", "dark")]
    both = Image.new("RGB", (dark.width + 16 + light.width, dark.height), "white")
    both.paste(dark, (0, 0))
    both.paste(light, (dark.width + 16, 0))
    both.save(PANEL, optimize=True)
    dark.thumbnail((640, 640))
    dark.save(THUMBNAIL, quality=82)


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
    page.reload(
        {"Comfy.VueNodes.Enabled": True, "Comfy.Graph.CanvasInfo": False,
         "Comfy.Graph.CanvasMenu": False}
    )  # fmt: skip
    page.load(WORKFLOW)
    page.run(timeout)
    for node_id, made in page.graph_to_prompt().items():
        if made["class_type"].startswith("Guda"):
            take_node_picture(page, int(node_id), made["class_type"])
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
    picture.save(images / f"{kind}.jpg", quality=80)
    text, link = (HELP / f"{kind}.md").read_text("utf-8"), f"(images/{kind}.jpg)"
    if link not in text:
        title, first, rest = text.split("\n\n", 2)
        shown = f"![{title.removeprefix('# ')}]{link}"
        text = "\n\n".join((title, first, shown, rest))
        (HELP / f"{kind}.md").write_text(text, "utf-8")


if __name__ == "__main__":
    {"workflow": make_workflow, "pictures": take_pictures}[sys.argv[1]]()
