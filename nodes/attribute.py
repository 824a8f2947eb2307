"""Scores: how much worse would the model fit a picture had it never learned a style?"""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..guda.config import ElboConfig
from . import places, settings
from .convert import from_batch, lines, save_temp, to_batch
from .runtime import normal_mode, on_device, plan, run
from .types import CATEGORY, AttributionType, Counterfactuals, model_input

LEADING = 5  # styles per picture whose heat maps the web panel shows


class GudaAttribute(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaAttribute",
            display_name="Attribute to Styles",
            category=CATEGORY,
            description="Scores every picture against every style, in nats with an interval: how "
            "much worse would the model fit the picture had it never learned the style?",
            inputs=[
                model_input(),
                Counterfactuals.Input(
                    "counterfactuals",
                    tooltip="From Unlearn Styles or Load Counterfactuals; made from this model.",
                ),
                io.Image.Input(
                    "image",
                    tooltip="One picture or a batch. Each is cut to a centred square of the "
                    "model's size.",
                ),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=False,
                    default="",
                    placeholder="what the picture shows",
                    tooltip="The prompt of the picture, or a description: one line for all "
                    "pictures, or one line per picture. It may be empty.",
                ),
                *settings.inputs(ElboConfig),
            ],
            outputs=[
                AttributionType.Output(
                    display_name="attribution",
                    tooltip="All scores and maps, for Style Heat Map and Save Attribution Report.",
                ),
                io.String.Output(display_name="table", tooltip="All scores as Markdown."),
                io.Image.Output(display_name="charts", tooltip="One bar chart per picture."),
                io.Image.Output(
                    display_name="heat_maps",
                    tooltip="One sheet per picture: where the leading styles explain it.",
                ),
                io.String.Output(
                    display_name="verdict",
                    tooltip="One line per picture: a style's name, 'none of these' or 'undecided'.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    @normal_mode
    def execute(cls, model, counterfactuals, image, prompt="", **values):
        from ..guda import heatmap, report
        from ..guda.pipeline import AttributeRequest, attribute
        from ..guda.planner import plan_attribute

        pictures, config = from_batch(image), settings.read(ElboConfig, values)
        names = [f"picture {i + 1}" for i in range(len(pictures))]
        request = AttributeRequest(model, counterfactuals, pictures, names, lines(prompt), config)
        with on_device(model):
            note = plan(plan_attribute(request))
            found = run(attribute(request), note=note)
        numbers = range(len(found.images))
        charts = to_batch([report.bars(found, i) for i in numbers])
        sheets = to_batch([heatmap.sheet(found, i) for i in numbers])
        verdicts = "\n".join(i.verdict for i in found.images)
        return io.NodeOutput(
            found,
            report.to_markdown(found),
            charts,
            sheets,
            verdicts,
            ui={"guda": [payload(found)]},
        )


def payload(attribution) -> dict[str, Any]:
    """`report.to_dict` for the web panel, and per picture what /view needs to show it."""
    from ..guda import heatmap, report, wording

    folder, unit = places.temp_folder(), wording.unit(attribution)
    data = report.to_dict(attribution)
    data |= {"unit": unit, "interval": wording.interval_name(attribution)}
    for i, (entry, image) in enumerate(zip(data["images"], attribution.images, strict=True)):
        drawn, scale = heatmap.overlays(attribution, i, top=LEADING, size=384)
        picture = heatmap.to_image(attribution.pictures[i], 384)
        entry["sentence"] = wording.verdict_sentence(image, unit)
        entry["picture"] = save_temp(picture, folder, image.image)
        entry["scale"] = scale
        entry["heatmaps"] = [
            {"group": o.group, **save_temp(o.image, folder, f"{image.image} {o.group}")}
            for o in drawn
        ]
    return report.tables.finite(data)
