"""Between ComfyUI's MODEL, CLIP and VAE and the pack's models and counterfactuals."""

from __future__ import annotations

from pathlib import Path

import comfy.lora
import torch

from ..guda.errors import CounterfactualError, ModelError, TextEncoderError
from . import patches, places, reading
from .runtime import offload_device

WHERE = "The model from the graph"
UNET = "diffusion_model."
LAYER = ("lora_up.weight", "lora_down.weight", "alpha")
PREDICTIONS = {"EPS": "epsilon", "V_PREDICTION": "v_prediction", "X0": "sample"}


def base_model(
    model, clip, vae, name: str, resolution: int = 0, dtype: torch.dtype = torch.float32
):
    """The `guda.backbone` of what a graph uses, a copy in `dtype`. Raises ModelError."""
    from ..guda.backbone.files.assemble import Checkpoint, Choices, assemble
    from ..guda.backbone.files.header import entries_of

    for part, what in ((model, "model"), (getattr(clip, "patcher", clip), "text encoder")):
        patches.refuse(part, WHERE, what)
    prediction, alpha_bar = sampling_of(model)
    tensors = tensors_of(model, clip, vae)
    try:
        choices = Choices(
            device=offload_device(),
            dtype=dtype,
            prediction=prediction,
            resolution=resolution,
            tokenizer=places.tokenizer_folder(),
            layer=clip.layer_idx,
            alpha_bar=alpha_bar,
        )
        made = assemble(Checkpoint(tensors, entries_of(tensors), WHERE), name, choices)
    except TextEncoderError:
        raise ModelError(
            f"{WHERE} is of another kind than its clip; link the clip of the same checkpoint."
        ) from None
    width, wanted = made.encode_prompts([""]).embeds.shape[-1], made.unet.config.cross_attention_dim
    if width != wanted:
        raise ModelError(
            f"{WHERE} takes text embeddings of width {wanted}, and its clip makes {width}; link "
            "the clip of the same checkpoint."
        )
    made.text = reading.GraphText(made.text, clip)  # type: ignore[assignment]
    made.weighs_prompts = reading.weighed
    if names := patches.left_out(model):
        made.warnings = (
            *made.warnings,
            f"{WHERE} carries {', '.join(names)}, which a KSampler uses; only its weights and "
            "LoRAs count here.",
        )
    return made


def tensors_of(model, clip, vae) -> dict[str, torch.Tensor]:
    """What ComfyUI's own Save Checkpoint would write: every weight, with LoRAs patched in."""
    patches.settle(model)
    unet = patches.weights_of(model, UNET)
    names = model.model.model_config
    saved = names.process_unet_state_dict_for_saving({k[len(UNET) :]: v for k, v in unet.items()})
    saved |= names.process_clip_state_dict_for_saving(patches.weights_of(clip.patcher))
    saved |= names.process_vae_state_dict_for_saving(dict(vae.get_sd()))
    if model.model.model_type.name == "V_PREDICTION":
        saved["v_pred"] = torch.zeros(0)
    return {k: v for k, v in saved.items() if isinstance(v, torch.Tensor)}


def sampling_of(model) -> tuple[str, torch.Tensor]:
    """What the model predicts, and alpha_bar (T,) float64. Raises ModelError."""
    sampling = model.get_model_object("model_sampling")
    kinds = type(sampling).__mro__
    kind = next((c.__name__ for c in kinds if "calculate_denoised" in vars(c)), "unknown")
    discrete = any(c.__name__ == "ModelSamplingDiscrete" for c in kinds)
    if kind not in PREDICTIONS or not discrete:
        raise ModelError(
            f"{WHERE} samples by {kind}, which is not supported; use a model of Stable Diffusion "
            "1.x, 2.x or SDXL base, without a node that changes its sampling to something else."
        )
    return PREDICTIONS[kind], 1 / (sampling.sigmas.cpu().double() ** 2 + 1)


def without(model, counterfactuals, entry, strength: float):
    """A MODEL with one counterfactual patched in, as Load LoRA does it. Raises GudaError."""
    path, tensors = counterfactuals.path(entry), counterfactuals.read(entry)
    table = comfy.lora.model_lora_keys_unet(model.model, {})
    weights = {k: tuple(v.shape) for k, v in model.model.state_dict().items()}
    for key, wanted in shapes_of(tensors, path).items():
        there = weights.get(table.get(key, ""))
        if there is None or (there[0], there[1:2]) != (wanted[0], wanted[1:2]):
            raise CounterfactualError(
                f"The counterfactual {path} changes {key} of shape {wanted}, and this model's is "
                f"{there or 'not there'}; link the model that the counterfactuals were made from."
            )
    patched = model.clone()
    patched.add_patches(comfy.lora.load_lora(tensors, table), strength)
    return patched


def shapes_of(tensors: dict[str, torch.Tensor], path: Path) -> dict[str, tuple[int, ...]]:
    """Per layer of a LoRA file, the shape of the weight that it changes.

    Raises CounterfactualError where an entry is none of a layer's, or a layer is not whole.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for name, value in tensors.items():
        key, _, kind = name.partition(".")
        parts = [tensors[f"{key}.{part}"] for part in LAYER if f"{key}.{part}" in tensors]
        whole = len(parts) == len(LAYER) and parts[0].dim() == parts[1].dim() > 1
        if kind in LAYER and whole and parts[0].shape[1] == len(parts[1]):
            shapes[key] = (len(parts[0]), *parts[1].shape[1:])
        elif kind == "diff":
            shapes[key] = tuple(value.shape)
        elif kind != "diff_b":
            raise CounterfactualError(
                f"The counterfactual {path} cannot be used: its entry {name} of shape "
                f"{tuple(value.shape)} is none of a whole layer's. Unlearn the style again."
            )
    return shapes
