"""Direct scores through ComfyUI's own model call, beside other computations: see native.py.

Stable Diffusion is held against the pack's diffusers path on the same weights. SD 3, Flux, Z-Image
and Qwen-Image have random weights and are held against their networks, called by themselves: the
noise, the rectified flow, its shift and the sum are written out here.
"""

from __future__ import annotations

import importlib
import math
import sys
import tempfile
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import comfy.model_management as mm
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import numpy as np
import torch
from comfy.ldm.flux.model import FluxParams

from guda.diffusion.lora_keys import to_file_keys

pack = sys.modules["pack"]
native = importlib.import_module("pack.nodes.native")
kinds = importlib.import_module("pack.nodes.kinds")
lists = importlib.import_module("pack.nodes.lists")
errors = importlib.import_module("pack.guda.errors")
direct = importlib.import_module("pack.guda.scoring.direct")
elbo = importlib.import_module("pack.guda.scoring.elbo")
allocation = importlib.import_module("pack.guda.scoring.allocation")
noise = importlib.import_module("pack.guda.diffusion.noise")
identity = importlib.import_module("pack.guda.diffusion.identity")
measuring = importlib.import_module("pack.guda.jobs.measuring")
attributing = importlib.import_module("pack.guda.jobs.attribute")
pools = importlib.import_module("pack.guda.jobs.null")
given = importlib.import_module("pack.guda.counterfactuals.direct")
settings = importlib.import_module("pack.guda.config")
ElboConfig, SampleConfig = settings.ElboConfig, settings.SampleConfig
drain = importlib.import_module("pack.guda.steps").drain

STYLES = ("a fox, in ink style", "a fox, in oil style", "a fox, in wax style")
GIVEN = "a fox"
SIDE = 32
PICTURES = Path(__file__).parents[2] / "guda" / "demo" / "styles" / "EmojiOne"
CONFIG = ElboConfig(evaluations=6, mixture="uniform")


def contributions(model, latents) -> torch.Tensor:
    """(I, K, P) of a model that scoring can ask."""
    n = len(latents)
    query = elbo.Query(latents, native.Texts([None] * n), tuple(f"key {i}" for i in range(n)))
    prompts = direct.Prompts((STYLES,) * n, (GIVEN,) * n)
    found = drain(direct.score_directly(model, prompts, query, CONFIG))
    return torch.from_numpy(found.contributions)


def apart(mine: torch.Tensor, theirs: torch.Tensor) -> list[float]:
    """The largest difference and the largest number."""
    return [float((mine - theirs).abs().max()), float(theirs.abs().max())]


def beside(own, model, clip, vae, lora) -> dict:
    """The pack's model and ComfyUI's, of the same checkpoint, without and with the same LoRA."""
    made = native.NativeModel(model, clip, vae, "tiny")
    pictures = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(4))
    latents = own.encode_images(pictures)
    result = {"latents": apart(made.encode_images(pictures), latents)}
    result["pixels"] = apart(made.decode(latents), own.decode(latents))
    plain = contributions(own, latents)
    result["scores"] = apart(contributions(made, latents), plain)
    patched, _ = comfy.sd.load_lora_for_models(model, None, to_file_keys(lora), 1.0, 0.0)
    with_lora = native.NativeModel(patched, clip, vae, "tiny")
    with own.counterfactual(lora):
        changed = contributions(own, latents)
    result["lora"] = apart(contributions(with_lora, latents), changed)
    result["changed"] = apart(changed, plain)
    result["names"] = [m.fingerprint for m in (made, with_lora)]
    result["at work"] = made.at_work(2, latents.shape[1:])
    return result


def scored(work, look):
    """Without a look at the model first, which has its own tests."""
    return measuring.measure(work, False)


def pooled(own, made) -> dict[str, list[float]]:
    """Null pools by both models."""
    before, own.resolution = own.resolution, SIDE
    styles = given.DirectCounterfactuals.named({"Ink": "ink", "Oil": "oil"})
    with tempfile.TemporaryDirectory() as folder:
        asked = [
            pools.NullRequest(m, styles, Path(folder, m.name), 4, images=PICTURES, config=CONFIG)
            for m in (made, own)
        ]
        both = [drain(pools.survey(request).run(scored)) for request in asked]
    own.resolution = before
    numbers = {
        "contributions": [p.contributions for pool in both for p in pool.pictures],
        "full": [p.full for pool in both for p in pool.pictures],
        "elbo": [p.elbo for pool in both for p in pool.pictures],
    }
    told = {k: torch.from_numpy(np.stack(v)).chunk(2) for k, v in numbers.items()}
    return {k: apart(*halves) for k, halves in told.items()}


def drawn(made) -> dict[str, list[float]]:
    """A picture of one step beside what one step of Euler's is, and beside itself among others."""
    asking = SampleConfig(steps=1, guidance=2.0, seed=7)
    (lone,) = drain(made.sample(["a fox"], ["key"], asking))
    _, among = drain(made.sample(["a cup", "a fox"], ["other", "key"], asking))
    last = torch.tensor([made.schedule.length - 1] * 2)
    start = torch.randn(made.latent_shape, generator=noise.generator("picture", 7, "key"))
    x = (start * torch.hypot(*made.levels.at(last[:1], start))).expand(2, -1, -1, -1)
    asked, free = made.denoise(x, last, made.encode_prompts(["a fox", ""]))
    (picture,) = made.decode((free + 2.0 * (asked - free))[None])
    return {"step": apart(lone, picture), "among": apart(among, lone)}


def alike(model, clip, vae, lora: dict) -> dict[str, list[str]]:
    """Which parts of the record of a graph's model say what was changed in the graph."""
    plain = native.NativeModel(model, clip, vae, "plain").identity

    def changed(change=lambda m, c: (m, c), **carried) -> list[str]:
        made = native.NativeModel(*change(model.clone(), clip.clone()), vae, "changed")
        made.carry(carried)
        return [*identity.differences(plain, made.identity), *filter(None, [made.incomparable])]

    def patched(m, c, strength=1.0):
        return comfy.sd.load_lora_for_models(m, c, lora, strength, 0.0)[0], c

    def attention(scale, m, c):
        m.set_model_attn2_patch(lambda n, context, value, options: (n * scale, context, value))
        return m, c

    def layer(m, c):
        c.clip_layer(-2)
        return m, c

    strong = native.NativeModel(*patched(model, clip), vae, "strong")
    mm.load_models_gpu([patched(model, clip)[0]], force_patch_weights=True)
    again = [native.NativeModel(*patched(model, clip), vae, "strong").identity, strong.identity]
    unset = clip.cond_stage_model.clip_l.transformer.text_projection.weight
    with torch.no_grad():  # in no file; ComfyUI leaves it as the memory was
        unset.add_(1.0)
    found = {
        "loaded": identity.differences(*again),
        "nothing": changed(),
        "lora": changed(patched),
        "strength": identity.differences(
            strong.identity, native.NativeModel(*patched(model, clip, 0.5), vae, "half").identity
        ),
        "attention": changed(partial(attention, 2.0)),
        "layer": changed(layer),
        "guidance": changed(guidance=2.0),
        "lock": changed(partial(attention, threading.Lock())),
    }
    scales = [native.NativeModel(*attention(s, model.clone(), clip), vae, "s") for s in (2.0, 3.0)]
    found["scales"] = [m.identity["set of patches and hooks"] for m in scales]
    return found


class Words:
    """A text encoder's part in a graph: some numbers for every prompt, of its own length."""

    def __init__(self, width: int, pooled: int):
        self.width, self.pooled = width, pooled

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, text: str) -> list:
        rng = torch.Generator().manual_seed(sum(text.encode()))
        cond = torch.randn(1, 5 + len(text) % 3, self.width, generator=rng)
        return [[cond, {"pooled_output": torch.randn(1, self.pooled, generator=rng)}]]


class Picture:
    """A VAE's part: means of 8 x 8 pixels, and back."""

    def spacial_compression_encode(self) -> int:
        return 8

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        means = torch.nn.functional.avg_pool2d(pixels[..., :3].movedim(-1, 1), 8)
        return means.repeat(1, 6, 1, 1)[:, :16] - 0.5

    def decode(self, raw: torch.Tensor) -> torch.Tensor:
        cells = raw.reshape(-1, *raw.shape[-2:])[:3] + 0.5
        return cells.repeat_interleave(8, 1).repeat_interleave(8, 2).movedim(0, -1)[None]


SD3 = {
    "in_channels": 16, "patch_size": 2, "depth": 1, "input_size": None, "adm_in_channels": 8,
    "num_patches": 64, "pos_embed_max_size": 8, "pos_embed_scaling_factor": None,
    "context_embedder_config": {
        "target": "torch.nn.Linear", "params": {"in_features": 12, "out_features": 64}
    },
}  # fmt: skip
FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 8, "depth": 1,
    "context_in_dim": 12, "hidden_size": 32, "mlp_ratio": 2.0, "num_heads": 2, "theta": 10000,
    "depth_single_blocks": 1, "axes_dim": [4, 6, 6], "patch_size": 2, "qkv_bias": True,
}  # fmt: skip
if "txt_ids_dims" in FluxParams.__annotations__:  # ComfyUI 0.4 and later
    FLUX["txt_ids_dims"] = []
Z_IMAGE = {
    "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 256, "cap_feat_dim": 12,
    "n_layers": 1, "n_refiner_layers": 1, "qk_norm": True, "n_heads": 16, "n_kv_heads": 16,
    "axes_dims": [4, 6, 6], "axes_lens": [64, 64, 64], "rope_theta": 256.0,
    "ffn_dim_multiplier": 8 / 3, "z_image_modulation": True, "time_scale": 1000.0,
}  # fmt: skip
QWEN = {
    "image_model": "qwen_image", "in_channels": 64, "out_channels": 16, "num_layers": 1,
    "attention_head_dim": 16, "num_attention_heads": 2, "joint_attention_dim": 12,
    "axes_dims_rope": (4, 6, 6),
}  # fmt: skip
KINDS = {  # class, its network, and its shift: e^1.15 where it is given as mu
    "SD3": (SD3, 3.0, 1000),
    "Flux": (FLUX | {"guidance_embed": True}, math.exp(1.15), 10_000),
    "FluxSchnell": (FLUX | {"guidance_embed": False}, 1.0, 1000),
    "ZImage": (Z_IMAGE, 3.0, 1000),
    "QwenImage": (QWEN, math.exp(1.15), 10_000),
}


def loaded(kind: str):
    """A MODEL of the kind with random weights."""
    config = getattr(comfy.supported_models, kind)(KINDS[kind][0])
    config.set_inference_dtype(torch.float32, None)
    core = config.get_model({}, device="cpu")
    rng = torch.Generator().manual_seed(3)
    for key, value in core.diffusion_model.state_dict().items():
        drawn = torch.randn(value.shape, generator=rng)
        norm = value.dim() == 1 and key.endswith("weight")
        value.copy_(1 + 0.1 * drawn if norm else drawn / value.shape[-1] ** 0.5)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(core, load_device=cpu, offload_device=cpu)


@torch.no_grad()
def alone(model, words: Words, latents, kind: str) -> torch.Tensor:
    """(I, K, P): the mean of the others' answers held against the mean of all, in float64."""
    _, shift, length = KINDS[kind]
    network, deep = model.model.diffusion_model, kind == "QwenImage"
    multiplier = 1000 if kind == "SD3" else 1
    t = torch.arange(1, length + 1).double() / length
    sigmas = shift * t / (1 + (shift - 1) * t)
    sigmas = sigmas[(sigmas / (1 - sigmas) >= 0.01) & ((1 - sigmas) / sigmas >= 1e-4)]
    snr = ((1 - sigmas) / sigmas) ** 2
    points = allocation.points(CONFIG, len(sigmas))
    terms = torch.zeros(len(latents), len(STYLES), len(points), dtype=torch.float64)
    for i, x0 in enumerate(latents):
        for p, (step, draw) in enumerate(zip(points.t.tolist(), points.draw.tolist(), strict=True)):
            eps = noise.standard_normal(0, f"key {i}", step, draw, x0.shape)
            sigma = sigmas[step].float()
            x = (1 - sigma) * x0 + sigma * eps
            answers = []
            for text in STYLES:
                ((cond, more),) = words.encode_from_tokens_scheduled(text)
                given = {"context": cond}
                if kind in ("SD3", "Flux", "FluxSchnell"):
                    given["y"] = more["pooled_output"]
                if kind == "Flux":
                    given["guidance"] = torch.tensor([3.5])
                if kind == "ZImage":
                    given["num_tokens"] = cond.shape[1]
                own = x[None, :, None] if deep else x[None]
                v = network(own, sigma[None] * multiplier, transformer_options={}, **given)
                answers.append((x - sigma * (v[0, :, 0] if deep else v[0])).double())
            every = torch.stack(answers)
            weight = points.weight[p] * (snr[step - 1] - snr[step]) / 2
            whole = (x0 - every.mean(0)).square().sum()
            for k in range(len(STYLES)):
                others = torch.cat([every[:k], every[k + 1 :]]).mean(0)
                terms[i, k, p] = weight * ((x0 - others).square().sum() - whole)
    return terms


def pooled_flow(kind: str, earlier: list) -> dict:
    """A pool of a folder and one that the model draws: how many pictures, whether the numbers are
    any, what an answer is held against, and why that of an earlier kind is refused."""
    made = native.NativeModel(loaded(kind), Words(12, 8), Picture(), kind, SIDE)
    styles = given.DirectCounterfactuals.named({"Ink": "ink", "Oil": "oil"})
    sampling = SampleConfig(steps=1, guidance=kinds.guidance_of(made._model))

    def answer(pool):
        pictures = [torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(8))]
        request = attributing.AttributeRequest(made, styles, pictures, ["p"], ["a fox"], CONFIG)
        return attributing.survey(replace(request, null=pool))

    result: dict = {"pictures": [], "finite": [], "held": []}
    for images in (PICTURES, None):
        with tempfile.TemporaryDirectory() as folder:
            asked = pools.NullRequest(
                made, styles, Path(folder, "pool"), 4, images=images, config=CONFIG,
                sampling=sampling, general=(),
            )  # fmt: skip
            pool = drain(pools.survey(asked).run(scored))
        numbers = np.stack([p.contributions for p in pool.pictures])
        result["pictures"].append(len({p.elbo for p in pool.pictures}))
        result["finite"].append(bool(np.isfinite(numbers).all() and (numbers != 0).any()))
        (image,) = drain(answer(pool).run(False)).images
        result["held"].append(image.evidence.pool)
    result["refused"] = said(lambda: answer(earlier[-1])) if earlier else ""
    earlier.append(pool)
    return result


def flows() -> dict:
    """By kind: distance from the network alone, warnings, levels, null pools."""
    found, made_pools = {}, []
    latents = torch.randn(2, 16, 6, 8, generator=torch.Generator().manual_seed(6))
    for kind in KINDS:
        model, words = loaded(kind), Words(12, 8)
        made = native.NativeModel(model, words, Picture(), kind)
        found[kind] = {
            "scores": apart(contributions(made, latents), alone(model, words, latents, kind)),
            "warnings": list(made.warnings),
            "levels": made.schedule.length,
            "pool": pooled_flow(kind, made_pools),
        }
    return found | refusals()


class Kind:
    """A MODEL of which only its kind is asked, and whose own code needs gigabytes."""

    def __init__(self, kind: str):
        config = getattr(comfy.supported_models, kind)
        told = {"model_config": config({"dim": 1}), "latent_format": config.latent_format()}
        self.model = SimpleNamespace(**told)


def said(work) -> str:
    try:
        work()
    except errors.GudaError as error:
        return str(error)
    return ""


def refusals() -> dict:
    """What is said of models and latents that cannot be scored."""
    videos = ("WAN21_T2V", "HunyuanVideo", "ACEStep")
    model, words = loaded("SD3"), Words(12, 8)
    made = native.NativeModel(model, words, Picture(), "SD3")
    deep = native.NativeModel(loaded("QwenImage"), words, Picture(), "QwenImage")
    broken = loaded("Flux")
    next(iter(broken.model.diffusion_model.parameters())).data.fill_(torch.nan)
    nan = native.NativeModel(broken, words, Picture(), "nan")
    latents = torch.zeros(1, 16, 6, 8)
    return {
        "lists": {
            "lines": [lists.prompts_of(["a\nb"], 2, by_line=by_line) for by_line in (True, False)],
            "list": lists.prompts_of(["a\nb", " c "], 2, by_line=True),
            "twice": said(lambda: lists.singled({"seed": [0, 1], "prompt": ["a", "b"]})),
            "single": lists.singled({"seed": [3], "prompt": ["a", "b"], "image": None}),
        },
        "refused": {k: said(lambda k=k: kinds.check(Kind(k), "mine")) for k in videos},
        "nan": said(lambda: contributions(nan, latents)),
        "latents": {
            "channels": said(lambda: made.scale_latents(torch.zeros(1, 4, 6, 8))),
            "video": said(lambda: deep.scale_latents(torch.zeros(1, 16, 3, 6, 8))),
        },
    }
