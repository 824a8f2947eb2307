"""LoRA files in the key format that ComfyUI's "Load LoRA" applies, kohya's:
`lora_unet_<module path with underscores>.lora_down.weight / .lora_up.weight / .alpha`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CounterfactualError
from .protocol import LoraWeights

_DIFF = {"weight": "diff", "bias": "diff_b"}


def to_file_keys(lora: LoraWeights) -> dict[str, Tensor]:
    """The tensors of a LoRA file, by kohya's names; whole differences by ComfyUI's."""
    tensors: dict[str, Tensor] = {}
    for name, change in lora.diffs.items():
        path, _, kind = name.rpartition(".")
        tensors[f"lora_unet_{path.replace('.', '_')}.{_DIFF[kind]}"] = change.contiguous()
    for path, (up, down) in lora.layers.items():
        key = "lora_unet_" + path.replace(".", "_")
        tensors[f"{key}.lora_up.weight"] = up.contiguous()
        tensors[f"{key}.lora_down.weight"] = down.contiguous()
        tensors[f"{key}.alpha"] = torch.tensor(lora.alpha)
    return tensors


def from_file_keys(tensors: Mapping[str, Tensor], unet: nn.Module) -> LoraWeights:
    """The inverse of `to_file_keys`, with `unet` giving the module paths back their dots.

    Raises CounterfactualError when a key belongs to no layer, a layer is incomplete or a shape
    does not fit.
    """
    paths = {
        "lora_unet_" + name.replace(".", "_"): (name, module)
        for name, module in unet.named_modules()
        if isinstance(getattr(module, "weight", None), Tensor)
    }
    layers: dict[str, tuple[Tensor, Tensor]] = {}
    scales: set[tuple[int, float]] = set()
    diffs = {k: v for k, v in tensors.items() if k.rpartition(".")[2] in _DIFF.values()}
    for key in sorted({k.split(".", 1)[0] for k in tensors if k not in diffs}):
        try:
            name, module = paths[key]
            up, down = tensors[f"{key}.lora_up.weight"], tensors[f"{key}.lora_down.weight"]
            alpha = tensors[f"{key}.alpha"]
        except KeyError as missing:
            raise CounterfactualError(
                f"its entry {missing} has no counterpart in this base model"
            ) from None
        weight: Any = module.weight
        fits = (
            up.dim() == down.dim() == weight.dim()
            and alpha.numel() == 1
            and up.flatten(1).shape == (weight.shape[0], len(down))
            and down.flatten(1).shape[1] == weight[0].numel()
        )
        if not fits:
            raise CounterfactualError(
                f"its layer {key} has shape {tuple(up.shape)} x {tuple(down.shape)} and alpha "
                f"{tuple(alpha.shape)}, the base model's is {tuple(weight.shape)}"
            )
        if not all(x.isfinite().all() for x in (up, down, alpha)):
            raise CounterfactualError(f"its layer {key} holds values that are not finite")
        layers[name] = (up.float(), down.float())
        scales.add((len(down), float(alpha)))
    if not layers and not diffs:
        raise CounterfactualError("it holds no LoRA layers")
    if len(scales) > 1:
        raise CounterfactualError("its layers differ in rank or alpha")
    alpha = scales.pop()[1] if scales else 1.0
    return LoraWeights(layers, alpha, _differences(diffs, paths))


def _differences(tensors: Mapping[str, Tensor], paths: Mapping[str, Any]) -> dict[str, Tensor]:
    """Parameter name -> whole difference."""
    changes: dict[str, Tensor] = {}
    for key, change in sorted(tensors.items()):
        head, _, tail = key.rpartition(".")
        kind = next(k for k, v in _DIFF.items() if v == tail)
        name, module = paths.get(head, ("", None))
        full = getattr(module, kind, None)
        if full is None or full.shape != change.shape or not change.isfinite().all():
            raise CounterfactualError(
                f"its entry {key} of shape {tuple(change.shape)} does not fit this base model"
            )
        changes[f"{name}.{kind}"] = change.float()
    return changes
