"""ComfyUI's page in headless Chromium: open it, load a graph, queue it, look at it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Route,
)
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from .chromium import OPEN_TIMEOUT
from .client import PACK_FOLDER, Comfy, ComfyError
from .patience import PATIENCE, Patience
from .scripts import BEGIN, DISMISSED, FIT, LOOK_AT, PAUSE, READY, SETTINGS

SLICE = 5_000  # milliseconds of one look
STILL = 120.0  # seconds in which nothing moves, after which a wait is over
SHOWN = 60_000  # for what a page shows by itself; on an idle machine it takes a moment
FRAMES = 50  # that a page draws after the server's last word, before it has no more to show
CANVAS_LATE = "getCanvas: canvas is null"  # the front end's own, when a page is opened anew
PACK_SCRIPTS = f"/extensions/{PACK_FOLDER}/"


class ComfyPage:
    """ComfyUI's page. `.page` is Playwright's own page for everything not wrapped here."""

    def __init__(self, page: Page, comfy: Comfy):
        self.page = page
        self.comfy = comfy
        self.page_errors: list[str] = []  # uncaught exceptions, from anywhere
        self.console: list[tuple[str, str, str]] = []  # (type, text, address of the script)
        page.on("pageerror", self._on_error)
        page.on("console", self._on_console)
        page.on("dialog", lambda dialog: dialog.accept())

    def _on_error(self, error: Exception) -> None:
        if str(error) != CANVAS_LATE:
            self.page_errors.append(str(error))

    def _on_console(self, message: ConsoleMessage) -> None:
        self.console.append((message.type, message.text, message.location.get("url", "")))

    @classmethod
    def open(
        cls, context: BrowserContext, comfy: Comfy, settings: dict[str, Any] | None = None
    ) -> ComfyPage:
        """Opens the page and waits until it takes graphs; the graph is then empty."""

        def local_only(route: Route) -> None:
            if route.request.url.startswith(comfy.url):
                route.fallback()
            else:
                route.abort()  # the page asks for news and templates elsewhere

        context.route(lambda url: url.startswith("http"), local_only)
        context.add_init_script(DISMISSED)
        context.set_default_timeout(SHOWN)
        self = cls(context.new_page(), comfy)
        self.reload(settings)
        return self

    def reload(self, settings: dict[str, Any] | None = None) -> None:
        """(Re)opens the page under SETTINGS changed by `settings`."""
        self.comfy.post("/settings", SETTINGS | (settings or {}))
        self.page.goto(self.comfy.url, timeout=OPEN_TIMEOUT, wait_until="domcontentloaded")
        self.patiently(lambda slice: self.page.wait_for_function(READY, timeout=slice))
        canvas = self.page.locator("#graph-canvas, #graph-canvas-container").first
        self.patiently(lambda slice: canvas.wait_for(state="visible", timeout=slice))
        self.close_dialogs()
        self.page.evaluate(BEGIN)

    def use_nodes2(self) -> None:
        """Turns Nodes 2.0 (Vue nodes) on, and reopens the page."""
        self.reload({"Comfy.VueNodes.Enabled": True})

    def close_dialogs(self) -> None:
        for _ in range(3):
            if not self.page.locator(".p-dialog-mask").count():
                return
            self.page.keyboard.press("Escape")
            self.pause(300)

    # The graph

    def load(self, workflow: dict[str, Any] | str | Path) -> None:
        """Loads a workflow (the front end's own format, or API format), as a dict or a file."""
        if isinstance(workflow, (str, Path)):
            workflow = json.loads(Path(workflow).read_text(encoding="utf-8"))
        api_format = isinstance(workflow, dict) and "nodes" not in workflow
        call = (
            "w => window.app.loadApiJson(w, 'test')"
            if api_format
            else "w => window.app.loadGraphData(w)"
        )
        self.page.evaluate(call, workflow)
        self.page.wait_for_function("() => window.app.graph._nodes.length > 0", timeout=SHOWN)
        self.close_dialogs()
        self.fit()

    def patiently(self, look: Callable[[float], Any]) -> Any:
        """What `look(milliseconds)` gives, asked until it does: as long as the server works."""
        patience = Patience(self.comfy.process, STILL)
        while True:
            try:
                return look(SLICE)
            except PlaywrightTimeout:
                if patience.over:
                    raise

    def comes(self, what: Callable[[], Any]) -> None:
        """Waits until `what()` is true: as long as the server has work, and then a little.

        That little is counted in frames that the page drew, so that a busy machine has its time.
        Raises ComfyError.
        """
        patience, left = Patience(self.comfy.process, STILL), FRAMES
        while not what():
            if not left or patience.over:
                raise ComfyError("what was waited for did not come, and nothing is under way")
            self.pause(100)
            left = FRAMES if self.comfy.busy else left - 1

    def pause(self, milliseconds: float) -> None:
        """By the page's own clock, so that its timers of less come before, and then a frame."""
        self.page.evaluate(PAUSE, milliseconds)

    def settled(self, script: str) -> Any:
        """What this JavaScript gives, once it gives the same for some frames."""
        last, same = None, 0
        for _ in range(FRAMES):
            now = self.page.evaluate(script)
            same = same + 1 if now == last else 0
            if same == 3:
                return now
            last = now
            self.pause(100)
        raise ComfyError("the page does not come to rest")

    def fit(self) -> None:
        """Brings the whole graph into view."""
        self.page.evaluate(FIT)
        self.pause(300)

    def look_at(self, left: float, top: float, scale: float) -> None:
        """Brings this point of the canvas to the window's left top, at this zoom."""
        self.page.evaluate(LOOK_AT, [left, top, scale])

    def frame(self, left: float, top: float, width: float) -> None:
        """That part of the canvas over the whole width of the window."""
        self.look_at(left, top, self.window[0] / width)

    def place(self, which: str) -> tuple[list[float], list[float]]:
        """[x, y] and [width, height] of the first node for which this JavaScript is true."""
        box = self.page.evaluate(
            f"() => {{ const n = window.app.graph._nodes.find({which});"
            " return [[...n.pos], [...n.size]] }"
        )
        return box[0], box[1]

    @property
    def window(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        size = self.page.viewport_size
        assert size is not None
        return size["width"], size["height"]

    def run(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """Queues the graph as the Run button does; returns its history entry once finished."""
        before = set(self.comfy.get("/history"))
        self.page.evaluate("() => window.app.queuePrompt(0)")
        return self.wait_finished(before, timeout)

    def wait_finished(self, before: set[str], timeout: float = PATIENCE) -> dict[str, Any]:
        """The new entry in the history, when the page knows of it.

        Raises ComfyError after `timeout` s without progress.
        """
        patience = Patience(self.comfy.process, timeout)
        while not patience.over:
            self.pause(200)
            new = {k: v for k, v in self.comfy.get("/history").items() if k not in before}
            if new:
                key, entry = next(iter(new.items()))
                ended = "key => window.ended.has(key)"
                self.page.wait_for_function(ended, arg=key, timeout=SHOWN)
                self.page.evaluate("() => window.app.graph.setDirtyCanvas(true, true)")
                self.pause(300)
                return entry
        raise ComfyError(f"the page's prompt made no progress for {timeout:.0f} s")

    def node(self, node_id: int) -> dict[str, Any]:
        """What the graph holds of one node: type, size and widgets' names, types and values."""
        return self.page.evaluate(
            """id => {
                const node = window.app.graph.getNodeById(id)
                return {
                    type: node.type, title: node.title, size: Array.from(node.size),
                    widgets: (node.widgets ?? []).map(w => ({
                        name: w.name, type: w.type, dom: Boolean(w.element),
                        value: typeof w.value === 'object' ? null : w.value})),
                }
            }""",
            node_id,
        )

    def graph_to_prompt(self) -> dict[str, Any]:
        """The loaded graph in API format, as the page would queue it."""
        return self.page.evaluate("async () => (await window.app.graphToPrompt()).output")

    # Looking

    def locator(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def screenshot(self, path: str | Path) -> Path:
        self.page.screenshot(path=str(path))
        return Path(path)

    def errors(self) -> list[str]:
        """Uncaught exceptions, and console errors that the pack's scripts had a part in.

        The front end logs errors of its own on every start (missing user.css, a TypeError in its
        settings, blocked requests); `.console` has those too.
        """
        return self.page_errors + [
            f"{text} ({address})"
            for kind, text, address in self.console
            if kind == "error" and PACK_SCRIPTS in f"{text} {address}"
        ]
