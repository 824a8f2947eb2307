"""What a file says of itself: trainers' and ComfyUI's metadata, and what it is if no model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ...errors import ModelError

_PREDICTION_KEYS = ("modelspec.prediction_type", "modelspec.predict_key")
_PREDICTIONS = {
    **dict.fromkeys(("epsilon", "eps", "noise"), "epsilon"),
    **dict.fromkeys(("v", "v_prediction", "v-prediction", "vpred", "v_pred"), "v_prediction"),
    **dict.fromkeys(("sample", "x0"), "sample"),
}
_NAMING_KEYS = ("modelspec.title", "modelspec.architecture", "modelspec.description")
_FEW = {"turbo", "lcm", "lightning", "hyper", "dmd", "dmd2", "tcd", "flash", "schnell"}
_OTHERS = {  # a piece of a tensor's name that only this kind of file has
    "a ControlNet": ("control_model.", "controlnet_cond_embedding.", "lora_controlnet"),
    "a LoHa": (".hada_w",),
    "a LoKr": (".lokr_w",),
    "an OFT": (".oft_blocks", ".oft_diag"),
    "a LoRA": (".lora_up.", ".lora_down.", ".lora_A.", ".lora_B.", ".lora.up."),
    "an IP-Adapter": ("ip_adapter.", "image_proj."),
    "an AnimateDiff motion module": ("motion_modules.",),
    "an embedding (textual inversion)": ("emb_params", "string_to_param"),
    "an upscaler": (".rdb1.", ".RDB1.", "conv_first.weight", ".residual_group.", "conv_up1."),
}


def kind_of(names: Iterable[str]) -> str | None:
    """What a file with these tensors is, where it is known not to be a model."""
    held = list(names)
    if held and set(held) <= {"clip_l", "clip_g"}:
        return "an embedding (textual inversion)"
    for title, marks in _OTHERS.items():
        if any(mark in name for name in held for mark in marks):
            return title
    return None


def prediction(metadata: Mapping[str, str], marked: str | None, where: str) -> str | None:
    """The prediction type that the metadata name; `marked` is what a tensor says, if any."""
    for key in _PREDICTION_KEYS:
        told = metadata.get(key, "").strip().lower()
        if not told:
            continue
        kind = _PREDICTIONS.get(told)
        if kind is None:
            raise ModelError(
                f"{where} predicts {told[:60]!r}, as its metadata say ({key}), which is not "
                "supported; use a model that predicts epsilon, v or sample."
            )
        if marked is not None and kind != marked:
            raise ModelError(
                f"{where} says two things: its metadata {key} = {told}, and a tensor "
                f"{marked}. Choose one by the option prediction."
            )
        return kind
    if metadata.get("modelspec.architecture", "").startswith("stable-diffusion-v2-768-v"):
        return "v_prediction"
    return None


def zero_snr(metadata: Mapping[str, str]) -> bool:
    return metadata.get("ss_zero_terminal_snr", "").lower() == "true"


def few_steps(name: str, metadata: Mapping[str, str]) -> list[str]:
    """A warning for a model whose name says that it was distilled to draw in few steps."""
    for text in (name, *(metadata.get(key, "") for key in _NAMING_KEYS)):
        parts = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
        words = re.findall(r"[a-z]+2?", parts.lower())
        mark = next((w for w in words if w in _FEW), None)
        if mark:
            return [
                f"The model {name} looks like a few-step model ({mark}), which is trained to draw "
                "in few steps and not to tell how likely a picture is: its scores are no "
                "likelihoods. Use the model that it was distilled from."
            ]
    return []
