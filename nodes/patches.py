"""What ComfyUI's patchers hold: weights with their LoRAs in them, and what is in no weight.

A patcher is asked for its patches, and nothing is loaded: ComfyUI's newer dynamic patcher patches a
weight only while it is used, so that no state dict of a loaded model has the LoRAs.
"""

from __future__ import annotations

from collections.abc import Iterable

import comfy.lora
import comfy.model_management as mm
import torch

from ..guda.errors import ModelError

TRAINABLE = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
OBJECTS = ("model_sampling", "manual_cast_dtype")  # patches that are read, or are about speed
WRAPPERS = ("apply_model", "diffusion_model")  # kinds of wrappers that run in the model's place
HARMLESS = ("torch.compile", "easycache", "lazycache")  # wrappers that are about speed


def weights_of(patcher, prefix: str = "") -> dict[str, torch.Tensor]:
    """Every weight below `prefix` in its own type, as its patches make it; they are computed in
    float32. What has no patch is the model's own tensor and not a copy."""
    device = mm.get_torch_device()
    weights = {}
    for key, ((weight, _), *patches) in patcher.get_key_patches(prefix).items():
        if patches:
            start = weight.detach().to(device, torch.float32, copy=True)
            weight = comfy.lora.calculate_weight(patches, start, key).to("cpu", weight.dtype)
        weights[key] = weight.detach()
    return weights


def settle(model) -> None:
    """Puts the model's own parts back, where those of another node's clone lie in their place."""
    if any(name.startswith("diffusion_model") for name in model.object_patches_backup):
        mm.load_models_gpu([model])


def refuse(patcher, where: str, what: str) -> None:
    """Raises ModelError where the `what` of `where` holds something that is in no trainable weight.

    Whatever a KSampler would use of it is refused by name: to leave it out would trace the styles
    of another model.
    """
    if kind := quantized(patcher):
        raise ModelError(
            f"{where} has a quantized ({kind}) {what}, whose weights cannot be trained; use the "
            "fp16, bf16 or fp32 .safetensors file."
        )
    for kind, names, remedy in beside_weights(patcher):
        if names := sorted(map(str, names)):
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelError(
                f"{where} has {kind} ({names[0]}{more}) on its {what}, and what is in no weight "
                f"cannot be taken along; {remedy}."
            )


def quantized(patcher) -> str:
    """How the weights are quantized; empty where they are not."""
    if "gguf" in type(patcher).__name__.lower():
        return "GGUF"
    for key, value in patcher.model_state_dict().items():
        if key.endswith((".scale_weight", ".weight_scale", ".comfy_quant", "scaled_fp8")):
            return key.rpartition(".")[2]
        if key.endswith(".weight") and value.dtype not in TRAINABLE:
            return str(value.dtype).removeprefix("torch.")
    return ""


def beside_weights(patcher) -> Iterable[tuple[str, list, str]]:
    """(what it is, the names of what there is, the remedy), per kind of change."""
    link = "link the output of a node before it"
    options = patcher.model_options
    yield (
        "a LoRA in bypass mode or another injection",
        [name for name, parts in patcher.injections.items() if parts],
        "load the LoRA with Load LoRA, which patches it into the weights",
    )
    hooks = [getattr(ref, "__name__", type(ref).__name__) for ref in patcher.hook_patches]
    if patcher.forced_hooks:
        hooks += [type(hook).__name__ for hook in patcher.forced_hooks.hooks]
    yield "hooks that change its weights", hooks, "load the LoRA with Load LoRA in place of a hook"
    yield "functions around its weights", list(patcher.weight_wrapper_patches), link
    objects = [name for name in patcher.object_patches if name not in OBJECTS]
    yield "replaced parts", objects, link
    function = options.get("model_function_wrapper")
    yield "a function around the model", [] if function is None else [named(function)], link
    inside = options.get("transformer_options", {}).get("wrappers", {})
    around = [
        name or "without a name"
        for held in (patcher.wrappers, inside)
        for kind in WRAPPERS
        for name, functions in held.get(kind, {}).items()
        if functions and name not in HARMLESS
    ]
    yield "wrappers around the model", around, link


def named(function: object) -> str:
    return getattr(function, "__name__", type(function).__name__)


def left_out(model) -> list[str]:
    """Names of the attention and block patches, which count in a KSampler and are no weights."""
    options = model.model_options.get("transformer_options", {})
    replaced = [name for name, held in options.get("patches_replace", {}).items() if held]
    return sorted({*(name for name, held in options.get("patches", {}).items() if held), *replaced})
