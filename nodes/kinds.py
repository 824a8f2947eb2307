"""What kind of model a MODEL of ComfyUI is: its noise levels, its size, and what it is not for."""

from __future__ import annotations

import re

import torch

from ..guda.config import SampleConfig
from ..guda.errors import ModelError
from ..guda.scoring.denoiser import Levels

REFUSED = {
    r"Audio|ACE": "sound",
    r"Hunyuan3D": "shapes in space",
    r"Video|img2vid|WAN|Wan2|LTX|Mochi|SV3D|Cosmos[TI]2V|HuMo": "videos",
    r"Zero123|Upscaler|Refiner|Unclip|Lotus|Stable_?Cascade_?B": "pictures made of other pictures",
}
"""Names of models -> what they make."""
SMALL, MIDDLE, LARGE = 512, 768, 1024


def check(model, name: str) -> tuple[str, ...]:
    """Warnings. Raises ModelError for a model whose answers are none about single pictures."""
    core, kind = model.model, kind_of(model)
    makes = next((what for words, what in REFUSED.items() if re.search(words, kind)), "")
    if core.latent_format.latent_dimensions not in (2, 3):
        makes = makes or "sound or shapes"
    if makes:
        raise ModelError(
            f"The model {name} ({kind}) makes {makes}, which cannot be scored; link a model that "
            "makes pictures from text."
        )
    return tuple(_doubts(model, kind, name))


def _doubts(model, kind: str, name: str):
    if few := _distilled(model, kind):
        yield (
            f"The model {name} ({kind}) answers otherwise than one that was trained to take noise "
            f"away: {few}. Its scores still rank styles, but they are no likelihoods in nats, and "
            "their size says nothing. Use the model that it was distilled from, if you can."
        )
    elif kind == "ZImage":
        yield (
            f"The model {name} is a Z-Image. If it is the Turbo one, it was distilled into few "
            "steps: its scores rank styles, but are no likelihoods in nats. Use the base model."
        )
    if guides := sorted(k for k in model.model_options if k.endswith("cfg_function")):
        yield (
            f"The model {name} carries guidance of its own ({', '.join(guides)}), which a KSampler "
            "uses; a score is of the model's plain answers, without guidance."
        )


def _distilled(model, kind: str) -> str:
    """What was distilled into the model; empty where nothing tells of it."""
    sampling = _names(model.get_model_object("model_sampling"))
    if "Schnell" in kind:
        return "it was distilled into few steps"
    if sampling & {"LCM", "ModelSamplingDiscreteDistilled"}:
        return "it samples as one that was distilled into few steps (LCM)"
    guided = model.model.model_config.unet_config.get("guidance_embed")
    return "guidance was distilled into it" if guided else ""


def guidance_of(model) -> float:
    """Of a KSampler (cfg), that pictures are drawn with where nobody says: none where guidance was
    distilled into the model, or steps."""
    kind = kind_of(model)
    return 1.0 if _distilled(model, kind) or kind == "ZImage" else SampleConfig.guidance


def kind_of(model) -> str:
    """ComfyUI's name of the architecture."""
    return type(model.model.model_config).__name__


def prediction_of(model) -> str:
    """ComfyUI's names of how the model is sampled, and of what it predicts."""
    kinds = type(model.get_model_object("model_sampling")).__mro__
    return " ".join(c.__name__ for c in kinds if c.__module__ == "comfy.model_sampling")


def levels_of(model, name: str) -> Levels:
    """From the model's own sampling: x = alpha x0 + sigma eps at each of its levels."""
    sampling = model.get_model_object("model_sampling")
    sigmas = getattr(sampling, "sigmas", None)
    if not isinstance(sigmas, torch.Tensor) or "IMG_TO_IMG" in _names(sampling):
        raise ModelError(
            f"The model {name} ({kind_of(model)}) samples by {type(sampling).__name__}, which has "
            "no noise levels; link it without the node that changes its sampling."
        )
    sigmas = sigmas.detach().cpu().double()
    one, none = torch.ones(len(sigmas), 1).double(), torch.zeros(len(sigmas), 1).double()
    alpha = sampling.noise_scaling(sigmas, none.clone(), one.clone())
    noise = sampling.noise_scaling(sigmas, one.clone(), none.clone())
    return Levels.of(alpha[:, 0], noise[:, 0], name, sigmas)


def resolution_of(model) -> int:
    """Side of a square picture of the size that the model knows best."""
    kind = kind_of(model)
    if kind.startswith("SD15"):
        return SMALL
    if kind.startswith("SD2"):
        return MIDDLE if model.model.model_type.name == "V_PREDICTION" else SMALL
    return SMALL if kind.startswith("PixArtAlpha") else LARGE


def _names(sampling) -> set[str]:
    return {c.__name__ for c in type(sampling).__mro__}
