"""LoRA on a diffusers UNet: peft while training, merged into the weights while scoring.

Files use the key format that ComfyUI's "Load LoRA" applies, kohya's:
`lora_unet_<module path with underscores>.lora_down.weight / .lora_up.weight / .alpha`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CounterfactualError
from ..noise import generator
from .protocol import LoraWeights

ADAPTER = "guda"
_PROJECTION = r"(to_q|to_k|to_v|to_out\.0)"
TARGETS = {
    "cross_attention": rf".*\.attn2\.{_PROJECTION}",
    "attention": rf".*\.attn[12]\.{_PROJECTION}",
    "all": (
        rf".*\.(attn[12]\.{_PROJECTION}|ff\.net\.0\.proj|ff\.net\.2"
        r"|proj_in|proj_out|conv1|conv2)"
    ),
}


class PeftLora:
    """A peft adapter on a UNet, seen through stable names."""

    def __init__(self, unet: nn.Module, alpha: float):
        self._unet, self._alpha = unet, alpha
        self._layers: dict[str, Any] = {
            name: module
            for name, module in unet.named_modules()
            if ADAPTER in getattr(module, "lora_A", {})
        }

    def parameters(self) -> dict[str, nn.Parameter]:
        found: dict[str, nn.Parameter] = {}
        for name, layer in self._layers.items():
            found[f"{name}.down"] = layer.lora_A[ADAPTER].weight
            found[f"{name}.up"] = layer.lora_B[ADAPTER].weight
        return found

    def weights(self) -> LoraWeights:
        def copy(p: Tensor) -> Tensor:
            return p.detach().to("cpu", torch.float32, copy=True).contiguous()

        parameters = self.parameters()
        layers = {
            n: (copy(parameters[f"{n}.up"]), copy(parameters[f"{n}.down"])) for n in self._layers
        }
        return LoraWeights(layers, self._alpha)

    @contextmanager
    def off(self) -> Iterator[None]:
        for layer in self._layers.values():
            layer.enable_adapters(False)
        try:
            yield
        finally:
            for layer in self._layers.values():
                layer.enable_adapters(True)


@contextmanager
def training(
    unet: nn.Module, *, modules: str, rank: int, alpha: float, seed: int
) -> Iterator[PeftLora]:
    """Put a fresh adapter on `unet`; gone again afterwards, whatever happens inside."""
    from peft import LoraConfig

    frozen = [p for p in unet.parameters() if p.requires_grad]
    for p in frozen:
        p.requires_grad_(False)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # peft divides it, and takes any number
        target_modules=TARGETS[modules],
        init_lora_weights=False,
    )
    with torch.random.fork_rng(devices=[]):  # peft builds its layers from the global generator
        unet.add_adapter(config, adapter_name=ADAPTER)  # type: ignore[operator]
    try:
        lora = PeftLora(unet, alpha)
        _initialize(lora, seed)
        yield lora
    finally:
        unet.unload_lora()  # type: ignore[operator]
        for p in frozen:
            p.requires_grad_(True)


@torch.no_grad()
def _initialize(lora: PeftLora, seed: int) -> None:
    """down as peft's default (Kaiming uniform, a = sqrt(5)), up = 0; float32; from `seed` alone."""
    for name, p in sorted(lora.parameters().items()):
        p.data = p.data.float()
        if name.endswith(".up"):
            p.zero_()
        else:
            bound = p[0].numel() ** -0.5
            noise = torch.rand(p.shape, generator=generator("lora", seed, name))
            p.copy_((2 * noise - 1) * bound)


@contextmanager
def merged(unet: nn.Module, lora: LoraWeights) -> Iterator[None]:
    """Add the LoRA to the weights; the very same weights are put back afterwards.

    A LoRA with up = 0 leaves every weight bit for bit as it was.
    """
    modules = dict(unet.named_modules())
    kept: dict[str, Tensor] = {}
    try:
        for path, (up, down) in lora.layers.items():
            weight = _weight(modules, path)
            kept[path] = full = weight.data
            weight.data = (full.float() + lora.scale * delta(up, down, full)).to(
                full.dtype, memory_format=torch.preserve_format
            )
        yield
    finally:
        for path, data in kept.items():
            _weight(modules, path).data = data


@contextmanager
def beside(unet: nn.Module, lora: LoraWeights) -> Iterator[None]:
    """Run the LoRA beside the weights: merging would round it in half-precision models."""
    modules = dict(unet.named_modules())
    hooks = []

    def hook(up: Tensor, down: Tensor):
        def add(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
            x = args[0].to(down.dtype)
            if isinstance(module, nn.Conv2d):
                low = nn.functional.conv2d(x, down, None, module.stride, module.padding)
                return out + nn.functional.conv2d(low, up).to(out.dtype) * lora.scale
            low = nn.functional.linear(x, down)
            return out + nn.functional.linear(low, up).to(out.dtype) * lora.scale

        return add

    try:
        for path, (up, down) in lora.layers.items():
            weight = _weight(modules, path)
            place = {"device": weight.device, "dtype": torch.float32}
            hooks.append(
                modules[path].register_forward_hook(hook(up.to(**place), down.to(**place)))
            )
        yield
    finally:
        for h in hooks:
            h.remove()


def delta(up: Tensor, down: Tensor, like: Tensor) -> Tensor:
    """up @ down in float32, in the shape of the weight `like`."""
    up, down = up.to(like.device, torch.float32), down.to(like.device, torch.float32)
    return (up.flatten(1) @ down.flatten(1)).view_as(like)


def _weight(modules: Mapping[str, nn.Module], path: str) -> nn.Parameter:
    module = modules.get(path)
    if module is None:
        raise CounterfactualError(
            f"The counterfactual changes the layer {path!r}, which this base model does not have; "
            "it was made from another kind of model. Unlearn the styles from this model."
        )
    base = getattr(module, "base_layer", module)
    return base.weight  # type: ignore[return-value]


def to_file_keys(lora: LoraWeights) -> dict[str, Tensor]:
    """The tensors of a LoRA file, by kohya's names."""
    tensors: dict[str, Tensor] = {}
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
    for key in sorted({k.split(".", 1)[0] for k in tensors}):
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
    if not layers:
        raise CounterfactualError("it holds no LoRA layers")
    if len(scales) > 1:
        raise CounterfactualError("its layers differ in rank or alpha")
    return LoraWeights(layers, scales.pop()[1])
