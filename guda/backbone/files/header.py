"""What a checkpoint file is, told from its header: supported, or refused with the remedy.

A safetensors file begins with the names, types and shapes of its tensors, so nothing of its
gigabytes is read before the model is known to be usable.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from ...errors import ModelError
from ...files import tensorfile
from ...files.tensorfile import Entry
from . import layout, stated
from .layout import Shape, UnetShape

FAMILIES = ("sd1", "sd2", "sdxl")
_FLOATS = {"F16", "BF16", "F32", "F64"}
_OTHERS = {  # a name that only this architecture has, below any prefix
    "joint_blocks.0.": "Stable Diffusion 3",
    "double_blocks.0.": "Flux or a relative of it",
    "double_layers.0.": "AuraFlow",
    "cap_embedder.": "Lumina or Z-Image",
    "adaln_single.": "PixArt or a relative of it",
    "mlp_t5.": "Hunyuan-DiT",
    "transformer_blocks.0.attn.add_q_proj.": "Qwen-Image or another transformer",
    "clf.": "Stable Cascade",
    "blocks.0.self_attn.": "Wan or another video model",
}
SUPPORTED = "use Stable Diffusion 1.x, 2.x or SDXL base"


@dataclass(frozen=True)
class Kind:
    """What a checkpoint is: its family, and the UNet's shape."""

    family: str
    unet: UnetShape
    entries: Mapping[str, Entry]

    @property
    def settings(self) -> dict[str, Any]:
        return family(self.family)

    def shapes(self, prefix: str) -> dict[str, Shape]:
        return layout.below({k: e.shape for k, e in self.entries.items()}, prefix)


@cache
def family(name: str) -> dict[str, Any]:
    """What shapes do not tell of a family of models: `families/<name>.json`."""
    path = Path(__file__).parent / "families" / f"{name}.json"
    return json.loads(path.read_text("utf-8"))


def read_header(path: Path) -> dict[str, Entry]:
    """Names, types and shapes of a safetensors file. Raises ModelError when it is none."""
    return tensorfile.read(path, lambda reason: _damaged(path, reason)).entries


def _damaged(path: Path, reason: object) -> ModelError:
    return ModelError(
        f"{path} is not a whole safetensors file ({reason}); download or copy it again."
    )


def entries_of(tensors: Mapping[str, Tensor]) -> dict[str, Entry]:
    """The same of tensors in memory."""
    names = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64"}

    def entry(value: Tensor) -> Entry:
        dtype = str(value.dtype).removeprefix("torch.")
        return Entry(names.get(dtype, dtype.upper()), tuple(value.shape))

    return {name: entry(value) for name, value in tensors.items()}


def identify(entries: Mapping[str, Entry], where: str) -> Kind:
    """What the checkpoint `where` is. Raises ModelError with the reason and the remedy."""
    _check_architecture(entries, where)
    _check_types(entries, where)
    shapes = layout.below({k: e.shape for k, e in entries.items()}, layout.UNET)
    try:
        unet = layout.unet_shape(shapes)
    except (KeyError, IndexError) as error:
        raise ModelError(
            f"{where} has a UNet of another kind (no {error}), which is not supported; {SUPPORTED}."
        ) from None
    name = _family(entries, unet, where)
    return Kind(name, unet, entries)


def _check_architecture(entries: Mapping[str, Entry], where: str) -> None:
    other = stated.kind_of(k for k in entries if not k.startswith(layout.UNET))
    if f"{layout.UNET}input_blocks.0.0.weight" in entries and other != "a ControlNet":
        return
    if other not in (None, "a LoRA"):
        raise ModelError(
            f"{where} is {other}, not a model; load the checkpoint that it belongs to."
        )
    if other == "a LoRA":
        raise ModelError(
            f"{where} is a LoRA, not a model; load the checkpoint that it belongs to, and in "
            "ComfyUI apply the LoRA with Load LoRA before Base Model from Graph."
        )
    if any("down_blocks.0.resnets.0." in k or "input_blocks.0.0.weight" in k for k in entries):
        raise ModelError(
            f"{where} holds a UNet alone, without text encoder and VAE; in ComfyUI load the three "
            "parts with their own nodes and join them with Base Model from Graph, or give a whole "
            "checkpoint or a diffusers folder."
        )
    if any(k.startswith("encoder.down.") for k in entries):
        raise ModelError(f"{where} is a VAE, not a model; give a whole checkpoint.")
    for mark, title in _OTHERS.items():
        if any(k.startswith(mark) or f".{mark}" in k for k in entries):
            raise ModelError(f"{where} is {title}, which is not supported; {SUPPORTED}.")
    raise ModelError(
        f"{where} holds no Stable Diffusion UNet ({layout.UNET}... is missing); {SUPPORTED}."
    )


def _check_types(entries: Mapping[str, Entry], where: str) -> None:
    remedy = "use the fp16, bf16 or fp32 file of the model, whose weights can be trained"
    scaled = [k for k in entries if k.endswith(("scaled_fp8", ".scale_weight", ".weight_scale"))]
    for name, entry in entries.items():
        kept = name.startswith((layout.UNET, layout.VAE, "cond_stage_model.", "conditioner."))
        if not kept or entry.dtype in _FLOATS:
            continue
        if entry.dtype.startswith(("F8", "FLOAT8")):
            raise ModelError(f"{where} is in fp8 ({name} is {entry.dtype}); {remedy}.")
        if name.endswith(".weight"):
            raise ModelError(f"{where} is quantized ({name} is {entry.dtype}); {remedy}.")
    if scaled:
        raise ModelError(f"{where} is quantized (it has {scaled[0]}); {remedy}.")


def _family(entries: Mapping[str, Entry], unet: UnetShape, where: str) -> str:
    if unet.in_channels != 4 or unet.out_channels != 4:
        special = {
            9: "an inpainting model",
            8: "a model that edits a picture (InstructPix2Pix or a video model)",
            5: "a depth-to-image model",
            7: "an upscaling model",
        }.get(unet.in_channels, "of another kind")
        raise ModelError(
            f"{where} is {special} (its UNet takes {unet.in_channels} channels and gives "
            f"{unet.out_channels}, not 4 and 4), which is not supported; use the text-to-image "
            "model that it was made from."
        )
    marks = [k for k in ("edm_mean", "edm_std", "edm_vpred.sigma_max") if k in entries]
    if marks:
        raise ModelError(
            f"{where} uses the EDM noise schedule (it has {marks[0]}), as Playground 2.5 does, "
            f"which is not supported; {SUPPORTED}."
        )
    both = any(k.startswith("conditioner.embedders.1.") for k in entries)
    first = any(k.startswith("conditioner.embedders.0.transformer.") for k in entries)
    if unet.added and not unet.linear:
        raise ModelError(f"{where} is a model of an unknown kind, not supported; {SUPPORTED}.")
    if not unet.added:
        return "sd2" if unet.linear else "sd1"
    if (unet.context == 1280 and unet.added == 2560) or (not both and not first):
        if any(k.startswith("conditioner.embedders.0.model.") for k in entries):
            raise ModelError(
                f"{where} is the SDXL refiner, which only finishes pictures; use the SDXL base "
                "model."
            )
        if unet.added in (1536, 2048):
            raise ModelError(
                f"{where} is unCLIP, which takes pictures in place of prompts and is not "
                f"supported; {SUPPORTED}."
            )
    return "sdxl"


class FileTensors(Mapping[str, Tensor]):
    """The tensors of a safetensors file, read one at a time when asked for."""

    def __init__(self, path: Path):
        self.entries = read_header(path)
        self._path = path

    def __enter__(self) -> FileTensors:
        from safetensors import SafetensorError, safe_open

        try:
            self._file = safe_open(self._path, "pt")
        except (SafetensorError, OSError) as error:
            raise _damaged(self._path, error) from error
        self._file.__enter__()
        self.metadata: dict[str, str] = self._file.metadata() or {}
        return self

    def __exit__(self, *args: Any) -> None:
        self._file.__exit__(*args)

    def __getitem__(self, name: str) -> Tensor:
        from safetensors import SafetensorError

        if name not in self.entries:
            raise KeyError(name)
        try:
            return self._file.get_tensor(name)
        except (SafetensorError, OSError, AttributeError) as error:  # a type that torch lacks
            raise _damaged(self._path, f"{name}: {error}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)
