"""A diffusers folder, read as a description: nothing in it chooses what is imported.

Every part's [library, class] has to be in the lists below, which is checked with nothing but the
folder's JSON, whatever the version of diffusers; the parts are then built by the pack's own names
for these classes, out of safetensors files. A folder's Python files are never looked at.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ModelError
from ...files import reading
from . import scheduler, weight_files

_PARTS = ("unet", "vae", "text_encoder")
PIPELINES = {
    "StableDiffusionPipeline": _PARTS,
    "StableDiffusionXLPipeline": (*_PARTS, "text_encoder_2"),
}
"""The kinds of diffusers folders that are supported, and their parts with weights."""
_TOKENIZERS = {"transformers": {"CLIPTokenizer", "CLIPTokenizerFast"}}
CLASSES: Mapping[str, Mapping[str, Collection[str]]] = {
    "unet": {"diffusers": {"UNet2DConditionModel"}},
    "vae": {"diffusers": {"AutoencoderKL"}},
    "text_encoder": {"transformers": {"CLIPTextModel"}},
    "text_encoder_2": {"transformers": {"CLIPTextModelWithProjection"}},
    "tokenizer": _TOKENIZERS,
    "tokenizer_2": _TOKENIZERS,
    "scheduler": {"diffusers": scheduler.KINDS},
}
"""What each part may be: library -> classes."""
UNUSED: Mapping[str, Collection[str]] = {
    "safety_checker": {"StableDiffusionSafetyChecker"},
    "feature_extractor": {"CLIPImageProcessor", "CLIPFeatureExtractor", "CLIPImageProcessorFast"},
    "image_encoder": {"CLIPVisionModelWithProjection"},
}
"""Parts that are never loaded, as scores do not depend on them, with the classes they have."""
_LIBRARIES = {"diffusers", "transformers", "stable_diffusion"}


@dataclass(frozen=True)
class Folder:
    """What a folder says of itself; no weight is read yet."""

    path: Path
    kind: str
    index: Mapping[str, Any]
    weights: Mapping[str, tuple[Path, ...]]  # part -> its files
    configs: Mapping[str, Mapping[str, Any]]  # part -> its config.json; the scheduler's too

    @property
    def where(self) -> str:
        return f"The model folder {self.path}"

    @property
    def tokenizers(self) -> tuple[str, ...]:
        return tuple(p.replace("text_encoder", "tokenizer") for p in PIPELINES[self.kind][2:])

    @property
    def scheduler(self) -> str:
        return self.index["scheduler"][1]


def describe(path: Path) -> Folder:
    """Raises ModelError with the reason and the remedy when the folder is not supported."""
    where = f"The model folder {path}"
    index = _index(path)
    kind = index["_class_name"]
    for part, value in index.items():
        _check_class(part, value, where)
    needed = PIPELINES[kind]
    for part in needed:
        if index.get(part) in (None, [None, None]):
            raise ModelError(
                f"{where} has no {part} in its model_index.json, which a {kind} needs; save the "
                "whole pipeline again."
            )
    weights = {part: weight_files.of(path, part) for part in needed}
    configs = {part: read_object(path / part / "config.json") for part in needed}
    _check_unet(kind, configs["unet"], where)
    if index.get("scheduler") in (None, [None, None]) or not _has_scheduler(path):
        raise ModelError(
            f"{where} has no scheduler ({path / 'scheduler' / 'scheduler_config.json'}), which "
            "says what the model predicts and how its noise grows; take it from the model that it "
            "was made from, or save the whole pipeline again."
        )
    configs["scheduler"] = read_object(path / "scheduler" / "scheduler_config.json")
    scheduler.check_config(index["scheduler"][1], configs["scheduler"], where)
    found = Folder(path, kind, index, weights, configs)
    for part in found.tokenizers:
        _check_vocabulary(path / part, where)
    return found


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file of bounded size. Raises ModelError."""
    found = reading.read_json(path, kind=ModelError)
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds no JSON object; save the pipeline again.")
    return found


def _index(path: Path) -> dict[str, Any]:
    index = path / "model_index.json"
    if not index.is_file():
        raise ModelError(
            f"The model folder {path} {_alone(path)}; give the folder of a diffusers Stable "
            "Diffusion pipeline."
        )
    parts = reading.read_json(index, kind=ModelError)
    if not isinstance(parts, dict) or "_class_name" not in parts:
        raise ModelError(
            f"{index} is not a diffusers pipeline description (it names no _class_name); save the "
            "pipeline again."
        )
    kind = parts["_class_name"]
    if not isinstance(kind, str) or kind not in PIPELINES:
        told = kind if isinstance(kind, str) else json.dumps(kind)[:80]
        raise ModelError(
            f"The model folder {path} holds a {told}; only StableDiffusionPipeline (Stable "
            "Diffusion 1.x and 2.x) and StableDiffusionXLPipeline (SDXL base) are supported."
        )
    return parts


def _alone(path: Path) -> str:
    """What a folder without an index is, as far as its config.json tells."""
    if (path / "adapter_config.json").is_file():
        return "holds a LoRA (adapter_config.json), not a model"
    try:
        told = read_object(path / "config.json")
        kind = told.get("_class_name") or (told.get("architectures") or [None])[0]
    except (ModelError, TypeError, KeyError, IndexError):
        kind = None
    if isinstance(kind, str):
        return f"holds a {kind[:80]} alone, not a pipeline (no model_index.json)"
    return "has no model_index.json"


def _check_class(part: str, value: Any, where: str) -> None:
    """Raises ModelError for an entry that names anything else than the pack's own classes."""
    if part not in CLASSES and not isinstance(value, list):
        return  # a setting
    if value in (None, [None, None]):
        return
    pair = value if isinstance(value, list) and len(value) == 2 else (None, None)
    library, name = (x if isinstance(x, str) else "" for x in pair)
    if name in CLASSES.get(part, {}).get(library, ()):
        return
    if name in UNUSED.get(part, ()) and library.split(".")[0] in _LIBRARIES:
        return
    if part == "scheduler" and library == "diffusers":
        scheduler.check_config(name, {}, where)  # says more of EDM and flow matching
    known = [f"{k}.{x}" for k, names in CLASSES.get(part, {}).items() for x in sorted(names)]
    known += sorted(UNUSED.get(part, ()))
    if len(known) > 3:
        known = ["the schedulers of diffusers that have Stable Diffusion's steps"]
    allowed = f"only {', '.join(known)} can be loaded" if known else "no such part is known"
    raise ModelError(
        f"{where} asks in model_index.json for {part} = {json.dumps(value)[:120]}, and {allowed}. "
        "Code beside a model is never run; use the folder that the model's makers publish, or "
        "save it again with diffusers' own classes."
    )


def _check_unet(kind: str, config: Mapping[str, Any], where: str) -> None:
    channels = config.get("in_channels", 4)
    if channels != 4 or config.get("out_channels", 4) != 4:
        raise ModelError(
            f"{where} has a UNet that takes {channels} channels, not 4, as inpainting models do, "
            "which is not supported; use the text-to-image model that it was made from."
        )
    added = {"addition_embed_type": "text_time" if kind.startswith("StableDiffusionXL") else None}
    for name, plain in (_PLAIN_UNET | added).items():
        value = config.get(name, plain)
        if value != plain:
            hint = ", as an LCM has" if name == "time_cond_proj_dim" else ""
            raise ModelError(
                f"{where} has a UNet with {name} = {json.dumps(value)[:60]}{hint}, which a plain "
                f"model has not ({json.dumps(plain)}) and which is not supported; use the model "
                "that it was made from."
            )


_PLAIN_UNET: dict[str, Any] = {
    "time_cond_proj_dim": None,
    "class_embed_type": None,
    "num_class_embeds": None,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "attention_type": "default",
    "dual_cross_attention": False,
    "time_embedding_type": "positional",
}
"""What would give a UNet further tensors or inputs."""


def _has_scheduler(path: Path) -> bool:
    return (path / "scheduler" / "scheduler_config.json").is_file()


def _check_vocabulary(folder: Path, where: str) -> None:
    whole = (folder / "tokenizer.json").is_file()
    if not whole and not all((folder / n).is_file() for n in ("vocab.json", "merges.txt")):
        raise ModelError(
            f"{where} has no vocabulary in {folder.name}/ (neither tokenizer.json nor vocab.json "
            "with merges.txt), without which every prompt is the same; copy them from the model "
            "that it was made from, or save the whole pipeline again."
        )
