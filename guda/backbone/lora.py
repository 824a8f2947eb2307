"""LoRA on a diffusers UNet: peft while training, merged into the weights while scoring."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..diffusion.noise import generator
from ..diffusion.protocol import LoraWeights, TextEdit, TrainableLora
from ..errors import ConfigError, CounterfactualError
from .full import training as full_training

ADAPTER = "guda"
_PROJECTION = r"(to_q|to_k|to_v|to_out\.0)"
_ATTENTION = rf"(attn[12]|attentions\.\d+)\.{_PROJECTION}"  # the latter in unconditional UNets
TARGETS = {
    "cross_attention": rf".*\.attn2\.{_PROJECTION}",
    "attention": rf".*\.{_ATTENTION}",
    "all": rf".*\.({_ATTENTION}|ff\.net\.0\.proj|ff\.net\.2|proj_in|proj_out|conv1|conv2)",
}


TEXT = r".*\.attn2\.(to_k|to_v)"
"""What of them reads the prompt."""


class PeftLora:
    """A peft adapter on a UNet, seen through stable names.

    given: what of the LoRA is there beside the adapter, and stays as it is.
    """

    def __init__(self, unet: nn.Module, alpha: float, given: LoraWeights):
        self._unet, self._alpha, self._given = unet, alpha, given
        self.on = True
        self._layers: dict[str, Any] = {
            name: module
            for name, module in unet.named_modules()
            if ADAPTER in getattr(module, "lora_A", {})
        }

    def parameters(self) -> dict[str, nn.Parameter]:
        named: dict[str, nn.Parameter] = {}
        for name, layer in self._layers.items():
            named[f"{name}.down"] = layer.lora_A[ADAPTER].weight
            named[f"{name}.up"] = layer.lora_B[ADAPTER].weight
        return named

    def weights(self) -> LoraWeights:
        def copy(p: Tensor) -> Tensor:
            return p.detach().to("cpu", torch.float32, copy=True).contiguous()

        parameters = self.parameters()
        layers = {
            n: (copy(parameters[f"{n}.up"]), copy(parameters[f"{n}.down"])) for n in self._layers
        }
        for n, (up, down) in self._given.layers.items():
            more_up, more_down = layers[n]
            layers[n] = torch.cat([up, more_up], 1), torch.cat([down, more_down], 0)
        return LoraWeights(layers, self._alpha)

    @contextmanager
    def off(self) -> Iterator[None]:
        for layer in self._layers.values():
            layer.enable_adapters(False)
        self.on = False
        try:
            yield
        finally:
            self.on = True
            for layer in self._layers.values():
                layer.enable_adapters(True)


def trainable(
    unet: nn.Module,
    *,
    modules: str,
    rank: int,
    alpha: float,
    seed: int,
    edit: TextEdit | None = None,
) -> AbstractContextManager[TrainableLora]:
    """A fresh LoRA on `unet`, or with modules="full" all of its weights, while inside."""
    if modules == "full":
        dtype = next(unet.parameters()).dtype
        if dtype != torch.float32:
            raise ConfigError(
                f"modules is 'full' and the model's weights are {str(dtype)[6:]}, which would "
                "round the changes away; load the model with precision float32, or choose "
                "modules all."
            )
        return full_training(unet)
    return training(unet, modules=modules, rank=rank, alpha=alpha, seed=seed, edit=edit)


@contextmanager
def training(
    unet: nn.Module,
    *,
    modules: str,
    rank: int,
    alpha: float,
    seed: int,
    edit: TextEdit | None = None,
) -> Iterator[PeftLora]:
    """Put a fresh adapter on `unet`; gone again afterwards, whatever happens inside."""
    from peft import LoraConfig, inject_adapter_in_model

    frozen = [p for p in unet.parameters() if p.requires_grad]
    for p in frozen:
        p.requires_grad_(False)
    given = _of_text(unet, edit, alpha / rank)
    left = rank - given.rank if edit is not None else rank
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # peft divides it, and takes any number
        rank_pattern={TEXT: left},
        alpha_pattern={TEXT: alpha * left / rank},
        target_modules=TARGETS[modules],
        init_lora_weights=False,
    )
    try:
        with torch.random.fork_rng(devices=[]):  # peft builds its layers from the global generator
            inject_adapter_in_model(config, unet, adapter_name=ADAPTER)
        lora = PeftLora(unet, alpha, given)
        _initialize(lora, seed)
        with beside(unet, given, lambda: lora.on):
            yield lora
    finally:
        _eject(unet)
        for p in frozen:
            p.requires_grad_(True)


def _eject(unet: nn.Module) -> None:
    """Put the layers back that peft wrapped."""
    for path, module in list(unet.named_modules()):
        if ADAPTER in getattr(module, "lora_A", {}):
            parent, _, name = path.rpartition(".")
            setattr(unet.get_submodule(parent), name, module.base_layer)
    if hasattr(unet, "peft_config"):
        del unet.peft_config


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
    parameters = dict(unet.named_parameters())
    kept: list[tuple[nn.Parameter, Tensor]] = []

    def add(weight: nn.Parameter, change: Tensor) -> None:
        full = weight.data
        kept.append((weight, full))
        weight.data = (full.float() + change).to(full.dtype, memory_format=torch.preserve_format)

    try:
        for path, (up, down) in lora.layers.items():
            weight = _weight(modules, path)
            add(weight, lora.scale * delta(up, down, weight.data))
        for name, change in lora.diffs.items():
            if name not in parameters:
                raise _foreign(name)
            add(parameters[name], change.to(parameters[name].device, torch.float32))
        yield
    finally:
        for weight, data in reversed(kept):
            weight.data = data


def _of_text(unet: nn.Module, edit: TextEdit | None, scale: float) -> LoraWeights:
    """The LoRA that changes what the UNet reads of a prompt as `edit` does: W (1 + up down)."""
    if edit is None:
        return LoraWeights({}, 1.0)
    modules = dict(unet.named_modules())
    layers: dict[str, tuple[Tensor, Tensor]] = {}
    for path in filter(re.compile(TEXT).fullmatch, modules):
        weight = _weight(modules, path).detach().float().cpu()
        layers[path] = (weight @ edit.up / scale).contiguous(), edit.down
    return LoraWeights(layers, scale * len(edit.down))


@contextmanager
def beside(
    unet: nn.Module, lora: LoraWeights, on: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Run the LoRA beside the weights, while it is `on`: merging would round it in half-precision
    models."""
    modules = dict(unet.named_modules())
    hooks = []

    def hook(up: Tensor, down: Tensor):
        def add(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
            if not on():
                return out
            x = args[0].to(down.dtype)
            if isinstance(module, nn.Conv2d):
                low = nn.functional.conv2d(x, down, None, module.stride, module.padding)
                return out + nn.functional.conv2d(low, up).to(out.dtype) * lora.scale
            low = nn.functional.linear(x, down)
            return out + nn.functional.linear(low, up).to(out.dtype) * lora.scale

        return add

    try:
        if lora.diffs:
            raise CounterfactualError(
                "The counterfactual changes whole weights (modules=full), which a half-precision "
                "model would round away; load the model in float32, or unlearn a LoRA."
            )
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
        raise _foreign(path)
    base = getattr(module, "base_layer", module)
    return base.weight  # type: ignore[return-value]


def _foreign(path: str) -> CounterfactualError:
    return CounterfactualError(
        f"The counterfactual changes the layer {path!r}, which this base model does not have; "
        "it was made from another kind of model. Unlearn the styles from this model."
    )
