"""ComfyUI's own model code beside the pack's, in one process: run in ComfyUI's folder.

    python native.py <folder for files>      prints one line of JSON, see `main`

What both are given is the same checkpoint, the same LoRA and the same numbers.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import logging
import re
import sys
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path.cwd()), str(ROOT / "tests"), str(Path(__file__).parent)]
sys.path.append(str(ROOT))
if __name__ == "__main__":
    import comfy.options

    comfy.options.enable_args_parsing(False)
    from comfy.cli_args import args

    args.cpu = True

import checkpoints  # noqa: E402
import comfy.lora  # noqa: E402
import comfy.model_detection  # noqa: E402
import comfy.model_management as mm  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.utils  # noqa: E402
import torch  # noqa: E402
from diffusers import UNet2DConditionModel  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from guda.backbone.files import layout  # noqa: E402
from guda.backbone.files.header import Entry, identify  # noqa: E402
from guda.backbone.files.load import load  # noqa: E402
from guda.backbone.lora import TARGETS  # noqa: E402
from guda.diffusion import Conditioning, LoraWeights  # noqa: E402
from guda.diffusion.lora_keys import to_file_keys  # noqa: E402

sys.modules["pack"] = pack = importlib.util.module_from_spec(
    importlib.util.spec_from_file_location(
        "pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
)
graph = importlib.import_module("pack.nodes.graph")
patchers = importlib.import_module("patchers")
flows = importlib.import_module("flows")
cached = importlib.import_module("cached")

PROMPTS = ("a fox in the snow, in café style!", "")
TAGS = ", ".join(f"tag number {i} of many" for i in range(40))
LONG = (  # past the 75 tokens that CLIP takes at once, just up to them, just past them
    f"a fox in the snow, {TAGS}, in café style!",
    "fox " * 75,
    "fox " * 76,
    "fox " * 150 + "雪の狐, 🦊",
)
WEIGHED = ("a (fox:1.4) in (the snow), a \\(quiet\\) day", f"(fox:0.3), {TAGS}, ((ink))")
BROKEN = (f"a fox, {TAGS}", "snow\nand ice", "in café style")
CLIPS = {"sd1": ("clip_l",), "sd2": ("clip_h",), "sdxl": ("clip_l", "clip_g")}
PREFIX = "model.diffusion_model."
LOADED: dict = {}  # family -> ComfyUI's MODEL, CLIP and VAE


class Missed(logging.Handler):
    """What ComfyUI's Load LoRA says of keys that it cannot place."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.keys: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.keys += re.findall(r"lora key not loaded: (\S+)", record.getMessage())


MISSED = Missed()
logging.getLogger().addHandler(MISSED)


def coverage(family: str) -> dict[str, list[int]]:
    """At full size, without weights: LoRA keys and those that Load LoRA misses, per `modules`."""
    shapes = checkpoints.shapes(checkpoints.FULL[family], with_vae=False)
    tensors = {k: torch.empty(s, device="meta") for k, s in shapes.items()}
    mark = PREFIX + "output_blocks.11.1.transformer_blocks.0.norm1.bias"
    tensors |= {mark: torch.zeros(320)} if mark in tensors else {}
    config = comfy.model_detection.model_config_from_unet(tensors, PREFIX)
    model = config.get_model(tensors, PREFIX, device="meta")
    own = {k: tuple(v.shape) for k, v in model.diffusion_model.state_dict().items()}
    assert own == layout.below(shapes, PREFIX), "checkpoints.FULL is not what ComfyUI builds"
    table = comfy.lora.model_lora_keys_unet(model, {})
    kind = identify({k: Entry("F16", s) for k, s in shapes.items()}, family)
    with torch.device("meta"):
        unet = UNet2DConditionModel(**layout.unet_config(kind.unet, kind.settings, 64))
    found = {}
    one = torch.ones(1, 1)
    for modules, pattern in TARGETS.items():
        layers = {n: (one, one) for n, _ in unet.named_modules() if re.fullmatch(pattern, n)}
        found[modules] = missed(to_file_keys(LoraWeights(layers, 1.0)), table)
    diffs = {name: one for name, _ in unet.named_parameters()}
    found["full"] = missed(to_file_keys(LoraWeights({}, 1.0, diffs)), table)
    return found


def missed(lora: dict, table: dict) -> list[int]:
    MISSED.keys.clear()
    placed = comfy.lora.load_lora(lora, table)
    return [len(lora), len(MISSED.keys), len(placed)]


def beside(family: str, folder: Path, prediction: str = "epsilon") -> dict:
    """A small model of the family in both: largest differences of what they compute."""
    small = checkpoints.SMALL[family]
    if family == "sd2" and prediction != "epsilon":  # told by a bias of its twelfth output block
        small = dataclasses.replace(small, layers=5)
    text = tuple(dataclasses.replace(c, layers=3) for c in small.text)
    spec = dataclasses.replace(small, text=text)
    marks = {"v_pred": torch.zeros(0)} if family == "sdxl" and prediction != "epsilon" else {}
    tensors = checkpoints.random_tensors(checkpoints.shapes(spec)) | marks
    unrounded = (checkpoints.UNET, checkpoints.VAE)
    # ComfyUI keeps text encoders in fp16, so these weights are made to fit.
    tensors = {k: v if k.startswith(unrounded) else v.half().float() for k, v in tensors.items()}
    path = folder / f"{family}.safetensors"
    save_file(tensors, path)
    del tensors  # of several families, and what was made of them, more than a small machine has
    options = {f"{name}_model_config": {"num_hidden_layers": 3} for name in CLIPS[family]}
    native, clip, vae, _ = comfy.sd.load_checkpoint_guess_config(
        str(path), te_model_options=options
    )
    LOADED[family] = native, clip, vae
    own = load(path)
    rng = torch.Generator().manual_seed(1)
    x_t, t = torch.randn(2, 4, 8, 8, generator=rng), torch.tensor([20, 700])
    embeds = torch.randn(2, 77, spec.context, generator=rng)
    pooled = torch.randn(2, 1280, generator=rng) if family == "sdxl" else None
    condition = Conditioning(embeds, {} if pooled is None else {"text_embeds": pooled})
    kinds = {c.__name__ for c in type(native.model.model_sampling).__mro__}
    result: dict = {"prediction": [own.prediction, "V_PREDICTION" in kinds]}
    result["eps"] = gap(eps(own, x_t, t, condition), native_eps(native, own, x_t, t, condition))
    made = graph.base_model(native, clip, vae, "graph")
    result["from graph"] = {
        "same": [made.fingerprint == own.fingerprint, made.prediction == own.prediction],
        "overrides": list(made.overrides),
        "eps": gap(eps(made, x_t, t, condition), eps(own, x_t, t, condition)),
        "text": gap(made.encode_prompts(PROMPTS).embeds, own.encode_prompts(PROMPTS).embeds),
    }
    result["weighed"] = [weighed_gap(made, clip, p) for p in WEIGHED]
    result["unweighed"] = gap(made.encode_prompts(WEIGHED[:1]).embeds,
                              own.encode_prompts(WEIGHED[:1]).embeds)  # fmt: skip
    for modules in (*TARGETS, "full") if prediction == "epsilon" else ("all",):
        lora = random_lora(own, modules)
        with own.counterfactual(lora):
            mine = eps(own, x_t, t, condition)
        MISSED.keys.clear()
        patched, _ = comfy.sd.load_lora_for_models(native, None, to_file_keys(lora), 1.0, 0.0)
        theirs = native_eps(patched, own, x_t, t, condition)
        full = eps(own, x_t, t, condition)
        result[modules] = [*gap(mine, theirs), gap(mine, full)[0], len(MISSED.keys)]
    result["text"], result["pooled"] = [], []
    together = own.encode_prompts([*PROMPTS, *LONG, " BREAK ".join(BROKEN)])
    result["tokens"] = together.lengths().tolist()
    for i, parts in enumerate([*((p,) for p in (*PROMPTS, *LONG)), BROKEN]):
        native_parts = [
            clip.encode_from_tokens(clip.tokenize(part), return_pooled=True) for part in parts
        ]
        cond = torch.cat([c for c, _ in native_parts], 1)  # as Conditioning (Concat) does
        encoded = own.encode_prompts([" BREAK ".join(parts)])
        result["text"].append(gap(encoded.embeds, cond))
        own_tokens = together.embeds[i : i + 1, : together.lengths()[i]]
        result["text"].append(gap(own_tokens, cond))
        if family == "sdxl":
            result["pooled"].append(gap(encoded.added["text_embeds"], native_parts[0][1]))
            result["pooled"].append(gap(together.added["text_embeds"][[i]], native_parts[0][1]))
    picture = torch.rand(1, 3, 32, 32, generator=rng)
    raw = vae.encode(picture.permute(0, 2, 3, 1))
    scaled = native.model.process_latent_in(raw)
    result["latents"] = gap(own.encode_images(picture), scaled)
    result["scaled"] = gap(own.scale_latents(raw), scaled)
    result["direct"] = flows.beside(own, native, clip, vae, random_lora(own, "all"))
    result["pixels"] = gap(own.decode(scaled), vae.decode(raw).permute(0, 3, 1, 2))
    if family == "sd1":
        small = flows.native.NativeModel(native, clip, vae, "tiny", flows.SIDE)
        result["pool"], result["drawn"] = flows.pooled(own, small), flows.drawn(small)
        result["alike"] = flows.alike(native, clip, vae, to_file_keys(random_lora(own, "all")))
        result["patched"] = patchers.compare(path, options, LOADED[family], random_lora(own, "all"))
    path.unlink()
    return result


def weighed_gap(made, clip, prompt: str) -> list[float]:
    """The graph's model and CLIP Text Encode on one prompt, among others of other lengths."""
    cond, pooled = clip.encode_from_tokens(clip.tokenize(prompt), return_pooled=True)
    together = made.encode_prompts([PROMPTS[0], prompt, LONG[0]])
    rows = [together.embeds[1, : together.lengths()[1]].flatten()]
    theirs = [cond[0].flatten()]
    if "text_embeds" in together.added:
        rows.append(together.added["text_embeds"][1])
        theirs.append(pooled[0])
    return gap(torch.cat(rows), torch.cat(theirs))


class GGUFModelPatcher:
    """Named as that of the node pack that loads GGUF files."""


def refused(model, clip, vae) -> str:
    try:
        graph.base_model(model, clip, vae, "graph")
    except pack.guda.errors.ModelError as error:
        return str(error)
    return ""


def refusals() -> dict[str, str]:
    """What Base Model from Graph says of parts that it cannot take."""
    model, clip, vae = LOADED["sd1"]
    quantized = SimpleNamespace(patcher=GGUFModelPatcher())
    return {
        "quantized model": refused(GGUFModelPatcher(), clip, vae),
        "quantized clip": refused(model, quantized, vae),
        "clip of sd2": refused(model, LOADED["sd2"][1], vae),
        "clip of sd1 for sdxl": refused(LOADED["sdxl"][0], clip, vae),
    } | patchers.refusals(*LOADED["sd1"])


def gap(mine: torch.Tensor, theirs: torch.Tensor) -> list[float]:
    """Largest difference, and the standard deviation that it is to be compared with."""
    mine, theirs = mine.detach(), theirs.detach()
    return [float((mine - theirs).abs().max()), float(theirs.std())]


@torch.no_grad()
def eps(own, x_t, t, condition):
    return own.predict_eps(x_t, t, condition)


@torch.no_grad()
def native_eps(patcher, own, x_t, t, condition):
    """The noise that ComfyUI's denoised picture implies: its x is x_t / sqrt(alpha_bar)."""
    mm.load_models_gpu([patcher], force_patch_weights=True)  # the classic patcher, always
    a_bar = own.schedule.alpha_bar[t].float()[:, None, None, None]
    sigma = ((1 - a_bar) / a_bar).sqrt()
    x = x_t / a_bar.sqrt()
    added = {}
    if "text_embeds" in condition.added:
        side = 8 * x_t.shape[-1]
        added["y"] = patcher.model.encode_adm(
            pooled_output=condition.added["text_embeds"], width=side, height=side, device=x.device
        )
    denoised = patcher.model.apply_model(x, sigma.flatten(), c_crossattn=condition.embeds, **added)
    return (x - denoised) / sigma


def random_lora(own, modules: str) -> LoraWeights:
    """Large enough that a layer that is left out shows."""
    rng = torch.Generator().manual_seed(2)
    if modules == "full":
        diffs = {
            n: 0.05 * torch.randn(p.shape, generator=rng) * p.std().clamp(min=0.05)
            for n, p in own.unet.named_parameters()
            if p.numel() > 1
        }
        return LoraWeights({}, 1.0, diffs)
    with own.training_lora(modules=modules, rank=2, alpha=1.5, seed=0) as lora:
        fresh = lora.weights()
    layers = {
        n: (0.3 * torch.randn(up.shape, generator=rng), down)
        for n, (up, down) in fresh.layers.items()
    }
    return LoraWeights(layers, fresh.alpha)


def main(folder: Path) -> None:
    found: dict = {"coverage": {f: coverage(f) for f in checkpoints.FULL}}
    found["beside"] = {f: beside(f, folder) for f in checkpoints.FULL}
    found["beside"] |= {f"{f} v": beside(f, folder, "v_prediction") for f in ("sd2", "sdxl")}
    found["flows"] = flows.flows()
    found["refusals"] = refusals()
    found["dropped"] = [cached.dropped("demo", seen=seen) for seen in (True, False)]
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
