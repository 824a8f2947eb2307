"""The base model: from disk, or from the model that a graph already has."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io

from ..guda.config import PRECISIONS, PREDICTION_CHOICES
from . import places, settings
from .held import held
from .runtime import compute_device, normal_mode, offload_device, problem
from .types import CATEGORY, Model, aliases


def _precision_input():
    return settings.advanced(
        io.Combo.Input(
            "precision",
            options=list(PRECISIONS),
            default="auto",
            tooltip="Number format of the model. auto: float32 on a CPU, else float16, "
            "which halves the memory. LoRAs and sums stay float32. bfloat16 where float16 "
            "overflows; its scores are less exact. float32 for modules = full.",
            optional=True,
        )
    )


def _model_output():
    return Model.Output(display_name="model", tooltip="The base model, in full.")


def _resolution_input():
    return settings.advanced(
        io.Int.Input(
            "resolution",
            default=0,
            min=0,
            max=4096,
            step=8,
            control_after_generate=False,
            tooltip="Side of the pictures in pixels; 0 for the model's own. Less saves time and "
            "memory, but the model knows its own size best.",
            optional=True,
        )
    )


class GudaLoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaLoadModel",
            display_name="Load Base Model (GUDA)",
            category=CATEGORY,
            description="Loads the Stable Diffusion model whose styles are to be traced: the small "
            "built-in one, a checkpoint from models/checkpoints, or a diffusers folder.",
            inputs=[
                io.Combo.Input(
                    "model",
                    options=places.model_names(),
                    default=places.BUILT_IN,
                    tooltip="The built-in demo model, a .safetensors checkpoint of Stable "
                    "Diffusion 1.x, 2.x or SDXL base, or a folder under models/diffusers that "
                    "holds a model_index.json.",
                ),
                settings.advanced(
                    io.Combo.Input(
                        "prediction",
                        options=list(PREDICTION_CHOICES),
                        default="auto",
                        tooltip="What the model predicts. auto finds out; Stable Diffusion 2.x "
                        "files carry no mark, so choose v_prediction if a 768-pixel model was "
                        "taken wrongly (pictures are noise), or epsilon the other way round.",
                        optional=True,
                    )
                ),
                _resolution_input(),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="A VAE in place of the checkpoint's own; needed where the file has "
                    "none. Not for diffusers folders.",
                ),
                _precision_input(),
            ],
            outputs=[_model_output()],
            **aliases("checkpoint loader", "base model", "provenance", "style attribution"),
        )

    @classmethod
    def validate_inputs(cls, model):
        from ..guda.backbone.files.load import check

        return problem(lambda: model is None or check(places.model_source(model)))

    @classmethod
    def fingerprint_inputs(cls, model, **others):
        from ..guda.backbone.files.load import DEMO_FOLDER

        source = places.model_source(model)
        return places.seen(DEMO_FOLDER if source == "demo" else Path(source))

    @classmethod
    @normal_mode
    def execute(cls, model, prediction="auto", resolution=0, vae=None, precision="auto"):
        from ..guda.backbone import precision as formats
        from ..guda.backbone.files.load import load

        loaded = load(
            places.model_source(model),
            device=offload_device(),
            dtype=formats.of_file(precision, compute_device()),
            prediction=prediction,
            resolution=resolution,
            vae=None if vae is None else vae.get_sd(),
            tokenizer=places.tokenizer_folder(),
        )
        loaded.cast(precision, compute_device())
        return io.NodeOutput(held(loaded))


class GudaModelFromGraph(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaModelFromGraph",
            display_name="Base Model from Graph (GUDA)",
            category=CATEGORY,
            description="Takes the model that the graph already uses, with the LoRAs that are "
            "patched into it, as the base model whose styles are to be traced.",
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Stable Diffusion 1.x, 2.x or SDXL. Its weights and LoRAs count; other "
                    "changes (attention, guidance, conditioning) do not.",
                ),
                io.Clip.Input(
                    "clip",
                    tooltip="The model's text encoder, with its LoRAs and its last layer.",
                ),
                io.Vae.Input("vae", tooltip="The model's VAE."),
                io.String.Input(
                    "name",
                    default="my-model",
                    tooltip="What to call the model in reports and folders.",
                ),
                _resolution_input(),
                _precision_input(),
            ],
            outputs=[_model_output()],
            **aliases("base model", "checkpoint", "lora", "provenance", "style attribution"),
        )

    @classmethod
    @normal_mode
    def execute(cls, model, clip, vae, name="my-model", resolution=0, precision="auto"):
        from ..guda.backbone import precision as formats
        from .graph import base_model

        dtype = formats.of_file(precision, compute_device())
        made = base_model(model, clip, vae, name.strip() or "my-model", resolution, dtype)
        made.cast(precision, compute_device())
        return io.NodeOutput(held(made))
