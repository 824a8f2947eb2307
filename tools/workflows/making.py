"""Laying a graph out in a real front end, and the ComfyUI to do it in."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from ..comfy.browser import ComfyPage
from ..comfy.chromium import launched_chromium
from ..comfy.server import running_comfy

LAY_OUT = """([layout, groups, note, height, extra]) => {
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
    made.extra = { ...made.extra, ...extra }
    delete made.extra.ds
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
