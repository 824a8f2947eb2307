"""The report on disk."""

from __future__ import annotations

from comfy_api.latest import io

from . import places
from .types import CATEGORY, attribution_input


class GudaSaveReport(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaSaveReport",
            display_name="Save Attribution Report",
            category=CATEGORY,
            description="Writes everything into a new folder under output: a self-contained "
            "report.html, tables as CSV, Markdown and JSON, charts and heat maps as PNG.",
            inputs=[
                attribution_input(),
                io.String.Input(
                    "filename_prefix",
                    default="guda/report",
                    tooltip="Folder under ComfyUI's output folder; a number is added, so that "
                    "nothing is overwritten.",
                ),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="Full path of report.html.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, attribution, filename_prefix="guda/report"):
        from ..guda.report import save

        folder, name = places.new_report_folder(filename_prefix)
        path = str(save(attribution, folder).html)
        link = {"filename": "report.html", "subfolder": name, "type": "output"}
        return io.NodeOutput(path, ui={"text": [path], "guda_report": [link]})
