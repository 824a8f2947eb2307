"""How much memory a model takes at work, counted without touching the device.

The UNet runs once as a ghost: a copy whose tensors have shapes and no contents (torch's "meta"
device). Every tensor that a call makes is counted while it lives, so the peak is that of the real
run, but for what allocators and kernels add.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..config import UnlearnConfig
from ..diffusion import Backbone, Conditioning, LoraWeights, recomputing, training_attention
from ..diffusion.attention import MOST_LOCATIONS

META = torch.device("meta")


@dataclass(frozen=True)
class Footprint:
    """Bytes on the device while the UNet works on `rows` pictures at once."""

    rows: int
    weights: int  # of the UNet
    lora: int  # the LoRA and its gradient; with modules="full" the copy that is trained
    optimizer: int
    activations: int  # the most that lives at one time beside the above

    @property
    def total(self) -> int:
        return self.weights + self.lora + self.optimizer + self.activations


class Live(TorchDispatchMode):
    """Counts the bytes of all tensors made inside, as long as each lives; `peak` is the most."""

    def __init__(self, known: Iterable[Tensor] = ()):
        super().__init__()
        self.now = self.peak = 0
        self._seen = {t.untyped_storage()._cdata for t in known}
        self._known = list(known)  # a storage's address says which it is only while it lives

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._note(leaf.untyped_storage())
        return out

    def _note(self, storage: torch.UntypedStorage) -> None:
        place, size = storage._cdata, storage.nbytes()
        if place not in self._seen:
            self._seen.add(place)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._gone, place, size)

    def _gone(self, place: int, size: int) -> None:
        self._seen.discard(place)
        self.now -= size


def training(
    backbone: Backbone, config: UnlearnConfig, rows: int, *, checkpointing: bool
) -> Footprint:
    """While a step's part of `rows` pictures is trained on."""
    unreal, shape = ghost(backbone), trained_shape(backbone, config)
    unet: nn.Module = unreal.unet
    weights = size(unet.parameters())
    with ExitStack() as stack:
        lora = stack.enter_context(
            unreal.training_lora(
                modules=config.modules, rank=config.rank, alpha=config.lora_alpha, seed=0
            )
        )
        parameters = list(lora.parameters().values())
        if checkpointing:
            again = recomputing(unet, lambda: _as_on(backbone, training=True, shape=shape))
            stack.enter_context(again)
        x_t, t, condition = _inputs(backbone, rows, shape)
        stack.enter_context(_as_on(backbone, training=True, shape=shape))
        live = stack.enter_context(Live(_tensors(unet)))
        with torch.no_grad(), lora.off():
            target = unreal.predict_eps(x_t, t, condition)
        error = (unreal.predict_eps(x_t, t, condition) - target).square().mean(dim=(1, 2, 3))
        error.mean().backward()
    held = size(parameters)
    kept = 2 + (config.stop == "auto")  # AdamW's moments, and the mean of the weights
    return Footprint(rows, weights, 2 * held, kept * held, live.peak - held)


def scoring(
    backbone: Backbone, lora: LoraWeights | None, rows: int, shape: Sequence[int] | None = None
) -> Footprint:
    """While `rows` noisy pictures are scored with a counterfactual on the UNet.

    shape: (c, h, w) of their latents; None: those of a picture of the model's own size.
    A model that another program keeps says itself what it takes (`at_work`).
    """
    if hasattr(backbone, "at_work"):
        weights, activations = backbone.at_work(rows, shape)  # type: ignore[attr-defined]
        return Footprint(rows, weights, 0, 0, activations)
    unreal = ghost(backbone)
    x_t, t, condition = _inputs(backbone, rows, shape)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        live = stack.enter_context(Live(_tensors(unreal.unet)))
        if lora is not None:
            stack.enter_context(unreal.counterfactual(lora))
        held = live.now
        live.peak = held
        stack.enter_context(_as_on(backbone, training=False))
        unreal.predict_eps(x_t, t, condition)
    return Footprint(rows, size(unreal.unet.parameters()), held, 0, live.peak - held)


def size(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def ghost(backbone: Backbone) -> Backbone:
    """The same model with a UNet that has no contents, and nobody's hooks."""
    memo: dict[int, Tensor] = {}
    unet: nn.Module = backbone.unet
    for p in unet.parameters():
        memo[id(p)] = nn.Parameter(p.detach().to(META), requires_grad=p.requires_grad)
    for b in unet.buffers():
        memo[id(b)] = b.detach().to(META)
    made = copy.copy(backbone)
    made.unet = copy.deepcopy(unet, memo)
    for module in made.unet.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks):
            hooks.clear()
    made.device = META
    if hasattr(made, "rest"):
        made.rest = META  # type: ignore[attr-defined]
    return made


def trained_shape(backbone: Backbone, config: UnlearnConfig) -> tuple[int, int, int]:
    """(c, h, w) of the latents that are trained on."""
    channels, side, _ = backbone.latent_shape
    side = side * (config.unlearn_resolution or backbone.resolution) // backbone.resolution
    return channels, side, side


def locations(backbone: Backbone, shape: Sequence[int] | None = None) -> int:
    """Of the latents: height times width. shape: theirs, if not of the model's size."""
    _, height, width = shape or backbone.latent_shape
    return height * width


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _inputs(
    backbone: Backbone, rows: int, shape: Sequence[int] | None = None
) -> tuple[Tensor, Tensor, Conditioning]:
    shape = (rows, *(shape or backbone.latent_shape))
    condition = backbone.encode_prompts([""]).take([0] * rows).to(META)
    return torch.empty(shape, device=META), torch.ones(rows, device=META).long(), condition


@contextmanager
def _as_on(
    backbone: Backbone, *, training: bool, shape: Sequence[int] | None = None
) -> Iterator[None]:
    """Inside, the meta device makes the tensors that the model's own device would."""
    on_cpu = backbone.device.type == "cpu"
    plain = on_cpu and training and locations(backbone, shape) <= MOST_LOCATIONS
    dtype = next(iter(backbone.unet.parameters())).dtype
    with training_attention(backbone.device) if plain else _Fused():
        if dtype == torch.float32:
            yield
            return
        with _Autocast(dtype, norms=not on_cpu):
            yield


class _Attention(torch.autograd.Function):
    """The tensors of a fused kernel (Dao et al. 2022): no number per pair of locations is kept."""

    @staticmethod
    def forward(ctx, q, k, v):
        out = q.new_empty((*q.shape[:-1], v.shape[-1]))
        ctx.save_for_backward(q, k, v, out, q.new_empty(q.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx, *grads):
        q, k, v, *_ = ctx.saved_tensors
        return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


class _Fused(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.scaled_dot_product_attention:
            given = dict(zip(("query", "key", "value"), args, strict=False)) | (kwargs or {})
            return _Attention.apply(given["query"], given["key"], given["value"])
        return func(*args, **(kwargs or {}))


class _Autocast(TorchFunctionMode):
    """autocast, which the meta device does not have: products in `dtype`, norms in float32."""

    PRODUCTS = (F.linear, F.conv2d, torch.matmul, torch.bmm, F.scaled_dot_product_attention)
    NORMS = (F.group_norm, F.layer_norm, F.softmax)

    def __init__(self, dtype: torch.dtype, *, norms: bool):
        super().__init__()
        self._dtype, self._norms = dtype, norms

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in self.PRODUCTS:
            wanted = self._dtype
        elif func in self.NORMS and self._norms:
            wanted = torch.float32
        else:
            return func(*args, **kwargs)

        def cast(x):
            return x.to(wanted) if isinstance(x, Tensor) and x.is_floating_point() else x

        return func(*map(cast, args), **{k: cast(v) for k, v in kwargs.items()})
