"""The base model."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io

from ..guda.config import PRECISIONS
from . import places, settings
from .runtime import compute_device, normal_mode, offload_device, problem
from .types import CATEGORY, Model


class GudaLoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaLoadModel",
            display_name="Load Base Model (GUDA)",
            category=CATEGORY,
            description="Loads the Stable Diffusion model whose styles are to be traced: the small "
            "built-in one, or a diffusers folder under models/diffusers.",
            inputs=[
                io.Combo.Input(
                    "model",
                    options=places.model_names(),
                    default=places.BUILT_IN,
                    tooltip="The built-in demo model, or a folder under models/diffusers that "
                    "holds a model_index.json (Stable Diffusion 1.x or 2.x, safetensors).",
                ),
                io.Combo.Input(
                    "precision",
                    options=list(PRECISIONS),
                    default="auto",
                    tooltip="Number format of the model. auto: float32 on a CPU, else float16, "
                    "which halves the memory. LoRAs and sums stay float32. bfloat16 where float16 "
                    "overflows; its scores are less exact. float32 for modules = full.",
                    **settings.advanced(io.Combo.Input),
                ),
            ],
            outputs=[Model.Output(display_name="model", tooltip="The base model, in full.")],
        )

    @classmethod
    def validate_inputs(cls, model):
        return problem(lambda: model is None or places.model_source(model))

    @classmethod
    def fingerprint_inputs(cls, model, precision="auto"):
        from ..guda.backbone.load import DEMO_FOLDER

        source = places.model_source(model)
        return places.stamps_below(DEMO_FOLDER if source == "demo" else Path(source))

    @classmethod
    @normal_mode
    def execute(cls, model, precision="auto"):
        from ..guda.backbone.load import load

        loaded = load(places.model_source(model), device=offload_device())
        loaded.cast(precision, compute_device())
        return io.NodeOutput(loaded)
