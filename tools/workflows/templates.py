"""Makes the example workflows in a real front end.

From the project's root:  python -m tools.workflows.templates

Each becomes example_workflows/<name>.json with a picture of its graph beside it. Names limit it
to these; --layout leaves the pictures, which need a run, as they are.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from PIL import Image

from ..comfy.browser import ComfyPage
from ..comfy.chromium import launched_chromium
from ..comfy.server import running_comfy
from .making import LAY_OUT, work_folder
from .template import Template
from .template_demo import BATCH_REPORT, MY_STYLES, QUICK_START, SECOND_OPINION
from .template_long import EVERY_STYLE
from .template_sd15 import ARTISTS_SD15, CHECKPOINT, WITHOUT_STYLE

SHIPPED = (
    QUICK_START,
    SECOND_OPINION,
    MY_STYLES,
    BATCH_REPORT,
    EVERY_STYLE,
    ARTISTS_SD15,
    WITHOUT_STYLE,
)
TEMPLATES = {t.name: t for t in SHIPPED}
NO_ID = "00000000-0000-0000-0000-000000000000"  # so that each opening of it gets its own

BARE = {"Comfy.Graph.CanvasInfo": False, "Comfy.Graph.CanvasMenu": False}
FOCUS = "() => window.app.extensionManager.command.execute('Workspace.ToggleFocusMode')"

# A seed that changes by itself would repeat hours of work.
FIX_SEEDS = """() => {
    for (const node of window.app.graph._nodes)
        for (const widget of node.widgets ?? [])
            if (widget.name.startsWith('control_after_generate')) widget.value = 'fixed'
}"""


def make(page: ComfyPage, template: Template, pictured: bool) -> None:
    page.reload(BARE)  # or nodes would show what those of their number did in the one before
    page.page.evaluate(FOCUS)
    page.load(template.graph)
    page.page.evaluate(FIX_SEEDS)
    made = page.page.evaluate(
        LAY_OUT,
        [template.layout, template.groups, template.note, template.note_height, {**template.extra}],
    )
    made["id"] = NO_ID
    text = json.dumps(made, indent=2, ensure_ascii=False)
    template.path.write_text(text + "\n", encoding="utf-8")
    if not pictured:
        return
    if template.runs:
        entry = page.run()
        if entry["status"]["status_str"] != "success":
            raise SystemExit(f"{template.name} failed: {entry['status']}")
    page.frame(*template.shown)
    page.page.wait_for_timeout(1500)
    shot = page.screenshot(Path(tempfile.gettempdir()) / f"{template.name}.png")
    picture = Image.open(shot).convert("RGB")
    picture.thumbnail((640, 640))
    picture.save(template.path.with_suffix(".jpg"), quality=88)
    shot.unlink()


def main() -> None:
    with work_folder() as base:
        checkpoints = base / "models" / "checkpoints"
        checkpoints.mkdir(parents=True, exist_ok=True)
        (checkpoints / CHECKPOINT).touch()  # so that the front end lists it
        with running_comfy(base) as comfy, launched_chromium() as chromium:
            context = chromium.new_context(viewport={"width": 1800, "height": 900})
            page = ComfyPage.open(context, comfy)
            names = [a for a in sys.argv[1:] if a != "--layout"]
            for name in names or TEMPLATES:
                make(page, TEMPLATES[name], "--layout" not in sys.argv)


if __name__ == "__main__":
    main()
