"""Scores by any model that ComfyUI samples: the model of the graph itself answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ..guda.config import ElboConfig
from . import settings
from .lists import singled
from .presets import preset_input
from .question import (
    answered,
    asked_for,
    credit_input,
    groups_and_resolution,
    one_source_input,
    outputs,
    question,
)
from .runtime import normal_mode
from .types import CATEGORY, Null, aliases, lines_input, pictures_input


class GudaAttributeAny(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaAttributeAny",
            display_name="Attribute to Styles (Any Model)",
            category=CATEGORY,
            description="Scores every picture against every style by the model that the graph "
            "samples with, whatever it is: Stable Diffusion, SDXL, SD 3.5, Flux, Z-Image, "
            "Qwen-Image and others, quantized or not, with its LoRAs. Nothing is unlearned.",
            inputs=[
                io.Model.Input(
                    "model", tooltip="Any model that a KSampler takes, with its LoRAs and patches."
                ),
                io.Clip.Input("clip", tooltip="The model's text encoder, with its LoRAs."),
                io.Vae.Input("vae", tooltip="The model's VAE."),
                pictures_input(),
                lines_input(
                    "styles",
                    "Van Gogh: van gogh\nHokusai: hokusai",
                    tooltip="One style per line, as 'Name: phrase', or just the phrase that "
                    "prompts use. Two at least. Empty where groups are linked.",
                ),
                lines_input(
                    "prompt",
                    "what the picture shows",
                    tooltip="The prompt of the picture, or a description, however many lines it "
                    "has; weights and embeddings count as in a KSampler. It may be empty. One "
                    "prompt per picture comes as a list.",
                ),
                *settings.inputs(ElboConfig, but=("batch_size",), shown=False),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="Latents from a KSampler with this model, scored as they are, without "
                    "the loss of a round trip through the VAE. An image beside them is only shown.",
                ),
                *groups_and_resolution(),
                settings.advanced(
                    io.String.Input(
                        "name",
                        default="my-model",
                        tooltip="What to call the model in reports.",
                        optional=True,
                    )
                ),
                io.Conditioning.Input(
                    "positive",
                    optional=True,
                    tooltip="The conditioning that the picture was made with, for what a text does "
                    "not say: Flux' guidance, SDXL's sizes, reference pictures. Without a prompt "
                    "the styles' words come behind it. Areas, masks, timestep ranges and "
                    "ControlNets are refused.",
                ),
                one_source_input(),
                credit_input(),
                preset_input(),
                Null.Input(
                    "null_pool",
                    optional=True,
                    tooltip="From Null Pool (Any Model), with the same model, styles and settings: "
                    "a style is then named only where the picture stands out further than all but "
                    "a few that have nothing to do with the styles.",
                ),
            ],
            outputs=outputs(),
            is_output_node=True,
            is_input_list=True,
            **aliases("which artist", "which style", "provenance", "attribution", "flux", "qwen"),
        )

    @classmethod
    @normal_mode
    def execute(cls, model, clip, vae, styles, **values):
        from . import conditioning
        from .native import NativeModel

        given = singled(values)
        without = asked_for(None, given.get("groups"), styles[0])
        name = given.get("name", "").strip() or "my-model"
        made: Any = NativeModel(model[0], clip[0], vae[0], name, given.get("resolution", 0))
        request, said = question(made, without, given, by_line=False)
        count = len(request.names)
        positive: Any = conditioning.of_native(made, given.get("positive", []), count)
        return answered(replace(request, null=given.get("null_pool"), conditions=positive), said)
