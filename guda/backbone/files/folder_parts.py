"""The modules of a diffusers folder, by the pack's own classes, filled from safetensors files."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ModelError
from . import scheduler
from .folder import Folder
from .header import FileTensors
from .parts import assign, place_buffers
from .tokenizer import from_folder
from .values import check_values, check_zeros

_MOST = {  # of what would be built module by module before any weight says otherwise
    "layers_per_block": 16,
    "num_hidden_layers": 100,
    "transformer_layers_per_block": 64,
    "norm_num_groups": 4096,
}
_LARGEST_SIZE = 1 << 20
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names in VAEs that were saved before diffusers 0.15, as Stable Diffusion 1.5's was."""
_TEXT_CONFIG = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "hidden_act"),
    *("num_attention_heads", "max_position_embeddings", "layer_norm_eps", "projection_dim"),
    *("bos_token_id", "eos_token_id", "pad_token_id"),
)


def build(folder: Folder, dtype: torch.dtype) -> SimpleNamespace:
    """What `StableDiffusion` takes; the VAE in float32. Raises ModelError."""
    from diffusers import AutoencoderKL, UNet2DConditionModel  # type: ignore[attr-defined]
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    for part, config in folder.configs.items():
        _check_sizes(config, part, folder.where)
    side = folder.configs["unet"].get("sample_size", 64)
    if type(side) is not int or side < 1:
        raise ModelError(
            f"{folder.where} has unet/config.json with sample_size = {side!r}; a number of latent "
            "cells is needed, 64 for pictures of 512 pixels."
        )
    _check_latents(folder)
    parts: dict[str, Any] = {
        "scheduler": scheduler.of_config(
            folder.scheduler, folder.configs["scheduler"], folder.where
        )
    }
    for name, kind in (
        ("text_encoder", CLIPTextModel),
        ("text_encoder_2", CLIPTextModelWithProjection),
    ):
        if name in folder.weights:
            tokenizer = name.replace("text_encoder", "tokenizer")
            parts[name] = _text_encoder(folder, name, kind, dtype)
            parts[tokenizer] = _tokenizer(folder, tokenizer, parts[name])
    parts["vae"] = _module(folder, "vae", AutoencoderKL, torch.float32)
    parts["unet"] = _module(folder, "unet", UNet2DConditionModel, dtype)
    check_zeros({k: parts[k] for k in folder.weights}, folder.where)
    return SimpleNamespace(**parts)


def _module(folder: Folder, part: str, kind: Any, dtype: torch.dtype) -> Any:
    known = set(inspect.signature(kind.__init__).parameters) - {"self"}
    config = {k: v for k, v in folder.configs[part].items() if k in known}
    with torch.device("meta"):
        module = kind(**config)
    _fill(folder, part, module, dtype)
    return module


def _text_encoder(folder: Folder, part: str, kind: Any, dtype: torch.dtype) -> Any:
    from transformers import CLIPTextConfig

    told = folder.configs[part]
    with torch.device("meta"):
        encoder = kind(CLIPTextConfig(**{k: told[k] for k in _TEXT_CONFIG if k in told}))
    _fill(folder, part, encoder, dtype)
    place_buffers(encoder)
    return encoder


def _fill(folder: Folder, part: str, module: nn.Module, dtype: torch.dtype) -> None:
    what = {"unet": "UNet", "vae": "VAE"}.get(part, "text encoder")
    wanted = module.state_dict()
    state: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for path in folder.weights[part]:
            tensors = stack.enter_context(_open(path, folder))
            for key in tensors:
                target = _target(key, wanted)
                if target is None and part == "unet":
                    raise ModelError(
                        f"{folder.where} has a UNet with a tensor that a plain model has not "
                        f"({key}), which is not supported; use the model that it was made from."
                    )
                if target is not None:
                    check_values(tensors[key], f"{part}/{key}", folder.where, what)
                    state[target] = tensors[key]
        for name, value in state.items():  # linear layers that were 1 x 1 convolutions
            if value.dim() == 4 and wanted[name].dim() == 2:
                state[name] = value[:, :, 0, 0]
        assign(module, state, folder.where, what, dtype)


def _open(path: Path, folder: Folder) -> FileTensors:
    try:
        return FileTensors(path)
    except ModelError as error:
        raise ModelError(
            f"{folder.where} could not be loaded: {error} Or save the pipeline again with "
            "save_pretrained(..., safe_serialization=True)."
        ) from None


def _target(key: str, wanted: Mapping[str, Tensor]) -> str | None:
    """The module's own name of a tensor, whatever version of the libraries wrote it."""
    head, _, last = key.rpartition(".")
    parent, _, layer = head.rpartition(".")
    inner = key.removeprefix("text_model.")
    old = f"{parent}.{_OLD_ATTENTION.get(layer, layer)}.{last}"
    return next((k for k in (key, inner, f"text_model.{inner}", old) if k in wanted), None)


def _tokenizer(folder: Folder, part: str, encoder: Any) -> Any:
    """The folder's tokenizer, of the text encoder's length. Raises ModelError if they differ."""
    tokenizer = from_folder(folder.path / part)
    known, rows = len(tokenizer), encoder.config.vocab_size
    if known < 256 or known > rows or rows - known > max(128, rows // 20):
        raise ModelError(
            f"{folder.where} has a {part} of {known} words, and its text encoder knows {rows}; "
            "they belong to different models, or the vocabulary is empty. Copy the tokenizer from "
            "the model that it was made from."
        )
    longest = encoder.config.max_position_embeddings
    tokenizer.model_max_length = min(int(tokenizer.model_max_length), longest)
    return tokenizer


def _check_sizes(config: Mapping[str, Any], part: str, where: str) -> None:
    """Raises ModelError for sizes that would take a machine's memory before a weight is read."""
    for name, value in config.items():
        sizes = [x for x in _numbers(value) if x > _MOST.get(name, _LARGEST_SIZE)]
        if sizes and not name.startswith(("clip_sample", "sample_max", "trained")):
            raise ModelError(
                f"{where} has {part}/config.json with {name} = {sizes[0]:.6g}, more than any model "
                "of this kind; copy the file from the model that it was made from."
            )


def _numbers(value: Any) -> list[float]:
    if isinstance(value, list):
        return [x for item in value for x in _numbers(item)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def _check_latents(folder: Folder) -> None:
    config = folder.configs["vae"]
    for name, plain in (("latents_mean", 0.0), ("latents_std", 1.0)):
        value = config.get(name)
        if value is not None and any(x != plain for x in _numbers(value)):
            raise ModelError(
                f"{folder.where} has a VAE with {name} = {str(value)[:60]}, by which Stable "
                "Diffusion does not scale latents and which is not supported; use the model's VAE "
                "as its family publishes it."
            )
    scale = config.get("scaling_factor", 0.18215)
    if not _numbers(scale) or not 1e-3 < scale < 1e3:
        raise ModelError(
            f"{folder.where} has a VAE with scaling_factor = {scale!r}; Stable Diffusion's is "
            "0.18215 and SDXL's 0.13025. Copy vae/config.json from the model that it was made from."
        )
