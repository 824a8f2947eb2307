"""Bad models: files, headers, diffusers folders, VAEs and tokenizers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from .bench import Bench, Case, edit

UNET = "model.diffusion_model."


def entry(shape=(2,), place=(0, 8), dtype="F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(place)}


def packed(header: object, rest: int = 0, size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + bytes(rest)


HEADERS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it has 0 bytes"),
    "short": (b"abc", "it has 3 bytes"),
    "text": (b"this is a text and not a model at all", "not a header's length"),
    "zeros": (bytes(99), "not a header's length"),
    "html": (b"<!DOCTYPE html><html>not found</html>", "not a header's length"),
    "endless": (packed(b"{}", size=2**63), "not a header's length"),
    "large": (packed(b"{}", size=50 << 20), "is larger than the 32 read"),
    "cut": (packed(b"{}", size=999), "of its header are missing"),
    "no json": (packed(b"{" * 50), "Expecting property name"),
    "list": (packed([]), "is not JSON"),
    "nested": (packed(b'{"a":' + b"[" * 90_000), "deep within each other"),
    "nested 200": (packed(b'{"a":' + b"[" * 200 + b"]" * 200 + b"}"), "deep within each other"),
    "twice": (packed(b'{"a":{},"a":{}}'), "the key 'a' stands twice"),
    "nan": (packed(b'{"a":NaN}'), "NaN is no number"),
    "infinity": (packed(b'{"a":1e999}'), "too large a number"),
    "digits": (packed(b'{"a":' + b"9" * 5000 + b"}"), "too large a number"),
    "half": (packed(rb'{"\ud800":1}'), "half of a character"),
    "latin": (packed(b'{"\xe4":1}'), "invalid continuation byte"),
    "null": (packed({"a": None}), "is not described"),
    "number": (packed({"a": 1}), "is not described"),
    "overlap": (packed({"a": entry(), "b": entry(place=(4, 12))}, 12), "overlaps another"),
    "same place": (packed({"a": entry(), "b": entry()}, 8), "overlaps another"),
    "gap": (packed({"a": entry(), "b": entry(place=(12, 20))}, 20), "leaves a gap"),
    "missing": (packed({"a": entry()}, 4), "4 bytes are missing at its end"),
    "more": (packed({"a": entry()}, 9), "1 are too many at its end"),
    "shape": (packed({"a": entry((3,))}, 8), "its shape [3] needs 12"),
    "huge shape": (packed({"a": entry((2**47,) * 15)}, 8), "its shape"),
    "many sides": (packed({"a": entry((1,) * 5000)}, 8), "has the shape"),
    "negative": (packed({"a": entry((-1, -2))}, 8), "no count"),
    "fraction": (packed({"a": entry((2.0,))}, 8), "no count"),
    "backward": (packed({"a": entry(place=(8, 0))}, 8), "has -8 bytes"),
    "type": (packed({"a": entry(dtype="F31")}, 8), "unknown type 'F31'"),
    "type list": (packed({"a": entry(dtype=["F32"])}, 8), "unknown type"),
    "metadata": (packed({"__metadata__": {"a": 1}}), "__metadata__ is not text"),
    "metadata list": (packed({"__metadata__": []}), "__metadata__ is not text"),
    "nothing in it": (packed({}), "holds no Stable Diffusion UNet"),
    "other": (packed({"a": entry()}, 8), "holds no Stable Diffusion UNet"),
    "long name": (packed({"x" * 10**6: entry()}, 7), "1 bytes are missing"),
    "sparse": (packed({"a": entry((2**40,), (0, 2**42))}, 8), "bytes are missing"),
}


def _header(b: Bench, content: bytes) -> list[str]:
    return b.unlearn(model=b.file("model.safetensors", content))


def _changed(b: Bench, change: Callable[[dict], Any], **more: object) -> list[str]:
    """A good checkpoint with other tensors."""
    tensors = load_file(b.checkpoint)
    save_file(change(tensors) or tensors, b.d / "model.safetensors")
    return b.unlearn(model=b.d / "model.safetensors", tokenizer=b.tokenizer, **more)


def _without(words: str) -> Callable[[dict], dict]:
    return lambda tensors: {k: v for k, v in tensors.items() if words not in k}


def _folder(b: Bench, change: Callable[[Path], Any]) -> list[str]:
    folder = b.copy("model")
    change(folder)
    return b.unlearn(model=folder)


def _set(part: str, **values: Any) -> Callable[[Path], Any]:
    return lambda folder: edit(folder / part, lambda data: data | values)


def _replace(part: str, content: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / part).write_text(content, "utf-8")


def _pipe(part: str) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        (folder / part).unlink()
        os.mkfifo(folder / part)

    return change


SCHEDULER = "scheduler/scheduler_config.json"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
FOLDERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no index": (lambda f: (f / "model_index.json").unlink(), "no model_index.json"),
    "index folder": (lambda f: _as_folder(f / "model_index.json"), "model_index.json"),
    "index list": (_replace("model_index.json", "[]"), "model_index.json"),
    "index empty": (_replace("model_index.json", ""), "model_index.json"),
    "index nested": (_replace("model_index.json", "[" * 99_999), "model_index.json"),
    "index number": (_replace("model_index.json", '{"_class_name": 3}'), "only StableDiffusion"),
    "index large": (_replace("model_index.json", " " * (5 << 20)), "model_index.json"),
    "index twice": (_replace("model_index.json", '{"a": 1, "a": 2}'), "model_index.json"),
    "index pipe": (_pipe("model_index.json"), "model_index.json"),
    "flux": (_set("model_index.json", _class_name="FluxPipeline"), "FluxPipeline"),
    "huge class": (_set("model_index.json", _class_name="x" * 10**5), "only StableDiffusion"),
    "planted code": (_set("model_index.json", unet=["evil", "Evil"]), "evil"),
    "no unet": (lambda f: (f / WEIGHTS).unlink(), "no safetensors weights in unet/"),
    "unet pipe": (_pipe(WEIGHTS), "unet"),
    "unet text": (_replace(WEIGHTS, "no weights"), "could not be loaded"),
    "unet config": (_replace("unet/config.json", "{"), "unet"),
    "unet channels": (_set("unet/config.json", in_channels=9), "takes 9 channels"),
    "steps 1e9": (_set(SCHEDULER, num_train_timesteps=10**9), "num_train_timesteps"),
    "steps text": (_set(SCHEDULER, num_train_timesteps="many"), "num_train_timesteps"),
    "steps 0": (_set(SCHEDULER, num_train_timesteps=0), "num_train_timesteps"),
    "steps -1": (_set(SCHEDULER, num_train_timesteps=-1), "num_train_timesteps"),
    "prediction": (_set(SCHEDULER, prediction_type="flow"), "flow"),
    "blocks 1e9": (_set("unet/config.json", layers_per_block=10**9), "layers_per_block"),
    "layers 1e9": (_set("text_encoder/config.json", num_hidden_layers=10**9), "num_hidden_layers"),
    "width": (_set("unet/config.json", block_out_channels=[10**9, 10**9]), "block_out_channels"),
    "sample size": (_set("unet/config.json", sample_size=10**9), "sample_size"),
}


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _others() -> Iterator[Case]:
    yield "none", lambda b: b.unlearn(model="none"), "The model none does not exist"
    yield "device", lambda b: b.unlearn(model="/dev/zero"), "/dev/zero"
    yield "any folder", lambda b: b.unlearn(model=b.d), "no model_index.json"
    yield "long name", lambda b: b.unlearn(model="x" * 300), "xxx"
    yield "below a file", lambda b: b.unlearn(model=b.picture / "m.safetensors"), "does not exist"
    for ending in ("ckpt", "pt", "pth", "bin", "pkl"):
        made = partial(lambda b, e: b.unlearn(model=b.file(f"m.{e}")), e=ending)
        yield f"pickle {ending}", made, f"is a pickle (.{ending})"
    yield "gguf", lambda b: b.unlearn(model=b.file("m.gguf")), "is quantized (GGUF)"
    yield "picture", lambda b: b.unlearn(model=b.picture), "is not a .safetensors file"
    yield "no unet", lambda b: _changed(b, _without(UNET)), "model.safetensors"
    yield "no text", lambda b: _changed(b, _without("cond_stage")), "holds no text encoder"
    yield "no vae", lambda b: _changed(b, _without("first_stage")), "holds no VAE"
    yield "half unet", lambda b: _changed(b, _without("out.2")), "not supported"
    one = _without(f"{UNET}time_embed.2.bias")
    yield "one missing", lambda b: _changed(b, one), "time_embedding.linear_2.bias is missing"
    yield "lora", lambda b: b.unlearn(model=b.set / "dots.safetensors"), "is a LoRA, not a model"
    fp8 = {f"{UNET}input_blocks.0.0.weight": torch.zeros(8, dtype=torch.float8_e4m3fn)}
    yield "fp8", lambda b: _changed(b, lambda t: t | fp8), "is in fp8"
    good = _without("no such tensor")
    yield "vae none", lambda b: _changed(b, good, vae="none.safetensors"), "none.safetensors"
    yield "vae pickle", lambda b: _changed(b, good, vae=b.file("v.pt")), "v.pt"
    yield "vae empty", lambda b: _changed(b, good, vae=b.file("v.safetensors")), "v.safetensors"
    yield "vae folder", lambda b: _changed(b, good, vae=b.model), "tiny"
    lora = "dots.safetensors"
    yield "vae lora", lambda b: _changed(b, good, vae=b.set / lora), "is not one of Stable"
    for name, value in (("nan", float("nan")), ("infinity", float("inf"))):
        broken = partial(_filled, value=value)
        yield f"{name} weights", partial(_changed, change=broken), "model.safetensors"


def _filled(tensors: dict, value: float) -> None:
    tensors["first_stage_model.encoder.conv_in.weight"].fill_(value)


CASES: list[Case] = [
    *((f"header {k}", partial(_header, content=c), w) for k, (c, w) in HEADERS.items()),
    *((f"folder {k}", partial(_folder, change=c), w) for k, (c, w) in FOLDERS.items()),
    *_others(),
]
