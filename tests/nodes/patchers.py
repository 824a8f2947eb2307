"""LoRAs in ComfyUI's patchers, classic and dynamic, and what is in no weight: see native.py.

Newer cores patch a weight only while it is used (dynamic VRAM). Where the core has such a patcher,
it is this one that is tried, on the CPU; elsewhere a stand-in that behaves alike.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from pathlib import Path

import comfy.hooks
import comfy.lora
import comfy.model_management as mm
import comfy.model_patcher
import comfy.sd
import torch
from comfy.patcher_extension import PatcherInjection

from guda.diffusion.lora_keys import to_file_keys

pack = sys.modules["pack"]
graph = importlib.import_module("pack.nodes.graph")
patches = importlib.import_module("pack.nodes.patches")

UNET = "diffusion_model."
CLASSIC = comfy.model_patcher.ModelPatcher
IN_NO_FILE = ("clip_l.transformer.text_projection.weight", "logit_scale")  # never set nor used
PROMPT = "a fox in the snow"


class LazyParam(torch.nn.Parameter):
    """A weight whose own `.to()` applies the LoRA, and nothing else does."""

    def __new__(cls, patcher, key, value):
        return super().__new__(cls, value, requires_grad=False)

    def __init__(self, patcher, key, value):
        self.patcher, self.key = patcher, key

    def to(self, *args, **kwargs):
        value = self.data.float().clone()
        held = self.patcher.patches.get(self.key)
        value = value if held is None else comfy.lora.calculate_weight(held, value, self.key)
        return value.to(self.dtype)


class Dynamic(CLASSIC):
    """Loads without patching, asserts where the core's asserts, and saves lazily cast weights."""

    def is_dynamic(self):
        return True

    def partially_load(self, device_to, extra_memory=0, force_patch_weights=False):
        assert not force_patch_weights
        self.patch_model(load_weights=False)

    def load(self, *args, **kwargs):
        raise AssertionError("out of reach")

    def state_dict_for_saving(self, clip_sd=None, vae_sd=None, clip_vision_sd=None):
        saved = self.model.state_dict_for_saving(clip_sd, vae_sd, clip_vision_sd)
        names = {value.data_ptr(): key for key, value in self.model.state_dict().items()}
        return {k: LazyParam(self, names.get(v.data_ptr()), v) for k, v in saved.items()}


@contextmanager
def dynamic():
    """Inside, ComfyUI gives what it loads a dynamic patcher."""
    module = comfy.model_patcher
    own = getattr(module, "ModelPatcherDynamic", None)
    name = "ModelPatcher" if own is None else "CoreModelPatcher"
    before = getattr(module, name)
    setattr(module, name, Dynamic if own is None else on_cpu(own))
    try:
        yield
    finally:
        setattr(module, name, before)


def on_cpu(own: type) -> type:
    """The core's own dynamic patcher, which it replaces by the classic one on a CPU."""
    import comfy_aimdo.host_buffer

    class NoBuffer:
        size = 0

        def __init__(self, *args):
            pass

    comfy_aimdo.host_buffer.HostBuffer = NoBuffer
    return type("Forced", (own,), {"__new__": lambda cls, *_, **__: object.__new__(cls)})


def lora_of(clip, unet) -> dict[str, torch.Tensor]:
    """A LoRA file of `unet`'s layers and of every linear layer of the text encoders."""
    rng, made = torch.Generator().manual_seed(3), dict(to_file_keys(unet))
    weights = clip.cond_stage_model.state_dict()
    for name, key in comfy.lora.model_lora_keys_clip(clip.cond_stage_model, {}).items():
        if not name.startswith("lora_te") or weights[key].dim() != 2:
            continue
        out, into = weights[key].shape
        made |= {
            f"{name}.lora_up.weight": 0.1 * torch.randn(out, 2, generator=rng),
            f"{name}.lora_down.weight": 0.1 * torch.randn(2, into, generator=rng),
            f"{name}.alpha": torch.tensor(2.0),
        }
    return made


def compare(path: Path, options: dict, loaded, unet_lora) -> dict:
    """The base model of both patchers with a LoRA on UNet and text encoders, beside ComfyUI's."""
    native, clip, vae = loaded
    lora = lora_of(clip, unet_lora)
    model, text = comfy.sd.load_lora_for_models(native, clip, lora, 0.8, 0.6)
    with dynamic():
        parts = comfy.sd.load_checkpoint_guess_config(
            str(path), output_vae=False, te_model_options=options
        )
        lazy, lazy_text = comfy.sd.load_lora_for_models(*parts[:2], lora, 0.8, 0.6)
        mm.load_models_gpu([lazy, lazy_text.patcher])  # as after a KSampler
        made = graph.base_model(lazy, lazy_text, vae, "dynamic")
        given = weights(lazy, lazy_text)
    before = weights(model, text)
    mm.load_models_gpu([model, text.patcher], force_patch_weights=True)
    unet, words = model.model.state_dict(), text.cond_stage_model.state_dict()
    classic = {k: v for k, v in unet.items() if k.startswith(UNET)} | words
    encoded = text.encode_from_tokens(text.tokenize(PROMPT))
    return {
        "dynamic": [lazy.is_dynamic(), lazy_text.patcher.is_dynamic()],
        "placed": [len(model.patches), len(text.patcher.patches)],
        "weights": widest(given, classic),
        "before": widest(before, classic),
        "after": widest(weights(model, text), classic),
        "lora": widest(weights(native, clip), classic),
        "text": float((made.encode_prompts([PROMPT]).embeds - encoded).abs().max()),
    }


def weights(model, clip) -> dict[str, torch.Tensor]:
    return patches.weights_of(model, UNET) | patches.weights_of(clip.patcher)


def widest(mine: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """The largest difference of any weight; the newer core keeps a file's types for longer."""
    assert mine.keys() == theirs.keys()
    gaps = [
        (mine[k].to(v.dtype).float() - v.float()).abs().max()
        for k, v in theirs.items()
        if not k.endswith(IN_NO_FILE)
    ]
    return float(torch.stack(gaps).max())


def refused(model, clip, vae) -> str:
    try:
        graph.base_model(model, clip, vae, "graph")
    except pack.guda.errors.ModelError as error:
        return str(error)
    return ""


def refusals(model, clip, vae) -> dict[str, str | list[str]]:
    """What Base Model from Graph says of LoRAs and changes that are in no weight."""
    key = UNET + "out.2.weight"

    def wrapper(run, *args):
        return run(*args)

    def changed(change) -> str:
        clone, words = model.clone(), clip.clone()
        change(clone, words)
        return refused(clone, words, vae)

    nothing = [PatcherInjection(inject=lambda _: None, eject=lambda _: None)]
    hook = comfy.hooks.create_hook_lora({}, 1.0, 1.0)
    patch = {key: ("diff", (torch.ones_like(model.model.state_dict()[key]),))}
    eighth = torch.nn.Sequential(torch.nn.Linear(2, 2)).to(torch.float8_e4m3fn)
    coarse = comfy.model_patcher.ModelPatcher(eighth, torch.device("cpu"), torch.device("cpu"))
    left = model.clone()
    left.set_model_attn2_patch(wrapper)
    left.add_wrapper_with_key("diffusion_model", "easycache", wrapper)
    return {
        "fp8": refused(coarse, clip, vae),
        "bypass": changed(lambda m, _: m.set_injections("bypass_lora", nothing)),
        "bypass clip": changed(lambda _, c: c.patcher.set_injections("bypass_lora", nothing)),
        "hooks": changed(lambda m, _: m.add_hook_patches(hook.hooks[0], patch)),
        "hooks clip": changed(lambda _, c: setattr(c.patcher, "forced_hooks", hook)),
        "weight wrapper": changed(lambda m, _: m.add_weight_wrapper(key, wrapper)),
        "object": changed(lambda m, _: m.add_object_patch(UNET + "out", torch.nn.Identity())),
        "function": changed(lambda m, _: m.set_model_unet_function_wrapper(wrapper)),
        "wrapper": changed(lambda m, _: m.add_wrapper_with_key("apply_model", "mine", wrapper)),
        "left out": list(graph.base_model(left, clip, vae, "graph").warnings),
        "clone": refused_after_clone(model, clip, vae),
    }


def refused_after_clone(model, clip, vae) -> str:
    """Another branch of the graph has run with a part replaced in the shared module."""
    other = model.clone()
    other.add_object_patch(UNET + "out", torch.nn.Identity())
    mm.load_models_gpu([other])
    assert isinstance(model.model.diffusion_model.out, torch.nn.Identity)
    return refused(model, clip, vae)
