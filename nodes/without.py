"""A counterfactual put to use: the graph's model as it would be without a style."""

from __future__ import annotations

from comfy_api.latest import io

from ..guda.errors import CounterfactualError
from .types import CATEGORY, AttributionType, Counterfactuals, aliases


class GudaWithoutStyle(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaWithoutStyle",
            display_name="Without This Style",
            category=CATEGORY,
            description="Patches the graph's model with the counterfactual of one style, so that "
            "it samples as if it had never learned the style.",
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model that the counterfactuals were made from, for example from "
                    "Load Checkpoint.",
                ),
                Counterfactuals.Input(
                    "counterfactuals", tooltip="From Unlearn Styles or Load Counterfactuals."
                ),
                io.String.Input(
                    "style",
                    default="",
                    placeholder="the leading style",
                    tooltip="Name of the style to leave out; empty for the leading style of the "
                    "first picture in attribution.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    tooltip="1 leaves the style out as far as it was unlearned, 0 leaves the model "
                    "as it is, more exaggerates, below 0 strengthens the style.",
                ),
                AttributionType.Input(
                    "attribution",
                    optional=True,
                    tooltip="From Attribute to Styles: which style leads, where style is empty.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model", tooltip="The model without the style, for a KSampler."
                ),
                io.String.Output(display_name="style", tooltip="The style that was left out."),
                io.Custom("LORA_MODEL").Output(
                    display_name="lora",
                    tooltip="The counterfactual itself, for ComfyUI's Load LoRA Model and Save "
                    "LoRA Weights.",
                ),
            ],
            **aliases("remove style", "erase artist", "negative lora", "counterfactual"),
        )

    @classmethod
    def execute(cls, model, counterfactuals, style="", strength=1.0, attribution=None):
        from .graph import without

        entry = chosen(counterfactuals, style.strip(), attribution)
        patched = without(model, counterfactuals, entry, strength)
        return io.NodeOutput(patched, entry.name, counterfactuals.read(entry))


def chosen(counterfactuals, style: str, attribution):
    """The set's entry that is asked for. Raises CounterfactualError."""
    if not style and attribution is not None:
        style = attribution.images[0].scores[0].group
    if not style and len(counterfactuals.entries) == 1:
        style = counterfactuals.names[0]
    if not style:
        raise CounterfactualError(
            f"style is empty; give one of: {', '.join(counterfactuals.names)}; or link an "
            "attribution to take its leading style."
        )
    (entry,) = counterfactuals.subset([style]).entries
    if not entry.passed:
        raise CounterfactualError(
            f"The counterfactual {entry.name!r} failed its checks ({entry.standing}), so it does "
            "not stand for the model without the style; unlearn it again with more steps or "
            "another lr."
        )
    return entry
