"""What the MODEL, CLIP and VAE of a graph are, by a few numbers, so that a later run tells them.

Weights are named as they are without their patches, wherever those lie by now, and so are the
patches. What else a graph hangs on a model is told by what it holds.
"""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from operator import itemgetter
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ..guda.settings import digest
from .patches import HARMLESS, OBJECTS, WRAPPERS

NONE, UNKNOWN = "none", "cannot be told"
READING = ("tokenizer_options", "use_clip_schedule", "apply_hooks_to_conds")
"""What of a CLIP, beside its weights, says how it reads."""
NEVER_SET = (
    "clip_l.transformer.text_projection.weight",
    "clip_h.transformer.text_projection.weight",
)
"""Weights that hardly a checkpoint has, of what no diffusion model is given: ComfyUI leaves them as
the memory was, which is other in every run."""
PLAIN = (bool, int, float, str, type(None))
GUIDANCE = ("cfg_function", "cfg1_optimization")
"""How the names of options end that are about guidance, which no score has."""


class Untold(Exception):
    """Nothing names what is in this; the message is its kind."""


def parts(model, clip, vae) -> tuple[dict[str, Any], str]:
    """What changes the scores that the three give, by name as in `guda.diffusion.identity`, and
    what of it cannot be told, in words; empty where all of it can."""
    untold = []

    def named(what: str, work: Callable[[], str]) -> str:
        try:
            return work()
        except Untold as error:
            untold.append(f"{error} on its {what}")
            return UNKNOWN

    coder, encoder = getattr(clip, "patcher", None), getattr(vae, "patcher", None)
    reading = {k: getattr(clip, k, None) for k in READING}
    made = {
        "set of patches and hooks": named("model", lambda: beside(model)),
        "text encoder": coder and fingerprint(coder),
        "text encoder's patches and options": named(
            "text encoder", lambda: digest(coder and beside(coder), told(reading))
        ),
        "text encoder's layer (CLIP skip)": getattr(clip, "layer_idx", None),
        "VAE": encoder and fingerprint(encoder),
    }
    return made, " and ".join(untold)


def along(carried: Mapping[str, Any]) -> str:
    """What goes along with every prompt, in words; tensors by their names."""

    def short(value: Any) -> str:
        return f"{value:g}" if isinstance(value, (int, float)) else digest(told(value))

    return ", ".join(f"{k} {short(v)}" for k, v in sorted(carried.items())) or "nothing"


def fingerprint(patcher) -> str:
    """Names the weights and what is patched into them, from a few numbers of each."""
    with torch.inference_mode():
        state = unpatched(patcher)
        seen = [(k, tuple(v.shape), _few(v)) for k, v in sorted(state.items())]
        patched = [
            (str(k), [(p[0], p[2], list(_numbers(p[1]))) for p in patches])
            for k, patches in sorted(patcher.patches.items(), key=lambda item: str(item[0]))
        ]
    return f"sampled-{digest(seen, patched)}"


def unpatched(patcher) -> dict[str, Tensor]:
    """The weights as they were loaded, whatever lies in their places by now.

    Without what is sampled by, which is no weight (see `kinds`), and which a graph may replace.
    """
    state = patcher.model_state_dict()
    state |= {k: held.weight for k, held in patcher.backup.items() if k in state}
    for name, part in patcher.object_patches_backup.items():
        if isinstance(part, nn.Module):
            state = {k: v for k, v in state.items() if not k.startswith(f"{name}.")}
            state |= {f"{name}.{k}": v for k, v in part.state_dict().items()}
    return {
        k: v for k, v in state.items() if not k.startswith(OBJECTS) and not k.endswith(NEVER_SET)
    }


def beside(patcher) -> str:
    """Names what hangs on a patcher beside its weights. Raises Untold."""
    options = {k: v for k, v in patcher.model_options.items() if not k.endswith(GUIDANCE)}
    inside = dict(options.pop("transformer_options", {}))
    around = [inside.pop("wrappers", {}), patcher.wrappers]
    held = {
        "options": options,
        "inside": inside,
        "wrappers": [
            [kind, name, functions]
            for given in around
            for kind in WRAPPERS
            for name, functions in given.get(kind, {}).items()
            if functions and name not in HARMLESS
        ],
        "objects": {k: v for k, v in patcher.object_patches.items() if k not in OBJECTS},
        "injections": patcher.injections,
        "weight wrappers": patcher.weight_wrapper_patches,
        "hooks": [patcher.hook_patches, getattr(patcher.forced_hooks, "hooks", [])],
    }
    left = {k: v for k, v in held.items() if v and v != [{}, []]}
    return digest(told(left)) if left else NONE


def told(value: Any, within: tuple[int, ...] = ()) -> Any:
    """JSON values that name `value` by everything that it holds, the same in every run of ComfyUI.

    Raises Untold where it holds something that is no data.
    """
    if isinstance(value, PLAIN):
        return value
    if id(value) in within:
        return "itself"
    inside = (*within, id(value))
    if isinstance(value, Tensor):
        return [tuple(value.shape), _few(value)]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, torch.device):
        return "device"  # which changes no answer
    if isinstance(value, (torch.dtype, bytes, complex)):
        return str(value)
    if isinstance(value, type):
        return _name(value)
    if isinstance(value, Mapping):
        pairs = [[digest(told(k, inside)), told(v, inside)] for k, v in value.items()]
        return sorted(pairs, key=itemgetter(0))
    if isinstance(value, (list, tuple)):
        return [told(v, inside) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(digest(told(v, inside)) for v in value)
    return [_name(type(value)), _of_object(value, inside)]


def _of_object(value: Any, inside: tuple[int, ...]) -> Any:
    """What is in a function, a model or another object."""
    if isinstance(value, types.FunctionType):
        held = list(_enclosed(value))
        return [_name(value), told([held, value.__defaults__, value.__kwdefaults__], inside)]
    if isinstance(value, types.MethodType):
        return [_name(value.__func__), told(value.__self__, inside)]
    if isinstance(value, (types.BuiltinFunctionType, types.ModuleType)):
        return value.__name__
    if isinstance(value, functools.partial):
        return told([value.func, value.args, value.keywords], inside)
    if isinstance(value, ModelPatcher):
        return [fingerprint(value), beside(value)]
    if isinstance(value, nn.Module):
        kinds = [_name(c) for c in type(value).__mro__]
        plain = {k: v for k, v in vars(value).items() if isinstance(v, PLAIN)}
        with torch.inference_mode():
            return [kinds, told(plain), [[k, _few(v)] for k, v in value.state_dict().items()]]
    try:
        return told(vars(value), inside)
    except TypeError:
        raise Untold(type(value).__name__) from None


def _enclosed(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # of one that is empty
            yield cell.cell_contents


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _few(value: Tensor) -> list[float]:
    """Sixteen of a tensor's numbers, evenly taken."""
    flat = value.detach().flatten()
    step = max(1, math.ceil(flat.numel() / 16))
    return [round(float(v), 6) for v in flat[::step].float().cpu()]


def _numbers(patch: Any) -> Iterator[Any]:
    """Those of a LoRA, in whatever it wraps them."""
    if isinstance(patch, Tensor):
        yield _few(patch)
    elif isinstance(patch, PLAIN):
        yield patch
    elif isinstance(patch, (list, tuple)):
        for part in patch:
            yield from _numbers(part)
    elif hasattr(patch, "weights"):
        yield from _numbers(patch.weights)
