"""Pictures from the base model itself, to ask about."""

from __future__ import annotations

from comfy_api.latest import io

from ..guda.config import SampleConfig
from . import settings
from .convert import lines
from .progress import Drawing
from .runtime import normal_mode, on_device, run
from .types import CATEGORY, aliases, model_input


class GudaGeneratePictures(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        from ..guda.demo import prompts

        fields = [i for i in settings.inputs(SampleConfig, seed=1) if i.id != "pictures"]
        return io.Schema(
            node_id="GudaGeneratePictures",
            display_name="Generate Pictures (GUDA)",
            category=CATEGORY,
            description="Lets the base model draw pictures, so that there is something to "
            "attribute without a picture of your own.",
            inputs=[
                model_input(),
                io.String.Input(
                    "prompts",
                    multiline=True,
                    dynamic_prompts=False,
                    default="\n".join(prompts()),
                    tooltip="One picture is drawn per line.",
                ),
                *fields,
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="One picture per prompt."),
                io.String.Output(
                    display_name="prompts",
                    tooltip="The prompts, one per line: link it to the prompt of Attribute to "
                    "Styles.",
                ),
            ],
            **aliases("text to image", "draw", "sample pictures"),
        )

    @classmethod
    @normal_mode
    def execute(cls, model, prompts, **values):
        from ..guda.groups.draw import draw
        from ..guda.scoring.explains import check_reading

        wanted = [line for line in lines(prompts) if line] or [""]
        with on_device(model):
            run(check_reading(model))
            pictures = run(
                draw(model, wanted, settings.read(SampleConfig, values)), Drawing(lasting=False)
            )
        return io.NodeOutput(pictures.permute(0, 2, 3, 1).contiguous(), "\n".join(wanted))
