"""The report on disk."""

from __future__ import annotations

import json

from comfy_api.latest import io

from . import places
from .convert import to_batch
from .runtime import run
from .types import CATEGORY, aliases, attribution_input


class GudaSaveReport(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaSaveReport",
            display_name="Save Attribution Report",
            category=CATEGORY,
            description="Writes everything into a new folder under output: a self-contained "
            "report.html, tables as CSV, Markdown and JSON, and PNG files (a card to share, "
            "charts, heat maps) that hold the prompt and workflow as ComfyUI's own pictures do.",
            inputs=[
                attribution_input(),
                io.String.Input(
                    "filename_prefix",
                    default="guda/report",
                    tooltip="Folder under ComfyUI's output folder; a number is added, so that "
                    "nothing is overwritten. %year%, %month%, %day%, %hour%, %minute% and %second% "
                    "are filled in.",
                ),
                io.Boolean.Input(
                    "evidence",
                    default=False,
                    optional=True,
                    tooltip="Also writes evidence.zip: the report and all that its scores stand "
                    "on, for others to check with 'guda verify'. Its first page says what it does "
                    "not prove. It holds your pictures and prompts, but no graph and no folders.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="path", tooltip="Full path of report.html."),
                io.Image.Output(
                    display_name="cards",
                    tooltip="One sheet per picture, to share: verdict, bars, numbers, heat maps.",
                ),
                io.String.Output(display_name="csv", tooltip="All scores as CSV."),
                io.String.Output(
                    display_name="json",
                    tooltip="Everything as JSON, the scores by noise level among it.",
                ),
                io.String.Output(
                    display_name="bundle",
                    tooltip="Full path of evidence.zip; empty without it.",
                ),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
            **aliases("save attribution", "html report", "evidence", "provenance", "share card"),
        )

    @classmethod
    def execute(cls, attribution, filename_prefix="guda/report", evidence=False):
        from PIL import Image

        from ..guda.evidence import bundle
        from ..guda.report import save

        folder, name = places.new_report_folder(filename_prefix)
        saved = save(attribution, folder, metadata=png_text(cls.hidden))
        made = run(bundle.make(attribution, folder / "evidence.zip")).path if evidence else ""
        path, cards = str(saved.html), [Image.open(p).convert("RGB") for p in saved.cards]
        shown = [{"filename": p.name, "subfolder": name, "type": "output"} for p in saved.cards]
        texts = [saved.csv.read_text("utf-8"), saved.json.read_text("utf-8")]
        return io.NodeOutput(
            path,
            to_batch(cards),
            *texts,
            str(made),
            ui={"images": shown, "text": [path]},  # an app shows the first as its answer
        )


def png_text(hidden) -> dict[str, str]:
    """What ComfyUI writes into its pictures: the prompt, the workflow; nothing if it is told so.

    The executor's notes in the prompt are left out: they hold paths of this machine.
    """
    from comfy.cli_args import args

    if args.disable_metadata or hidden is None:
        return {}
    prompt = {
        node_id: {key: value for key, value in node.items() if key != "is_changed"}
        for node_id, node in (hidden.prompt or {}).items()
    }
    texts = ({"prompt": prompt} if prompt else {}) | (hidden.extra_pnginfo or {})
    return {key: json.dumps(value) for key, value in texts.items()}
