"""Base models from disk. Nothing is ever fetched, and pickles are never opened."""

from __future__ import annotations

import json
import logging
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch

from ..errors import ModelError
from .stable_diffusion import StableDiffusion

DEMO = "demo"
DEMO_FOLDER = Path(__file__).resolve().parent.parent / "demo" / "model"
_PICKLES = {".ckpt", ".pt", ".pth", ".bin", ".pkl"}


def load(source: str | Path, *, device: torch.device | str = "cpu") -> StableDiffusion:
    """Load `source`: "demo" (the built-in model) or a diffusers folder with safetensors weights.

    Raises ModelError that names the path and the remedy.
    """
    if str(source) == DEMO:
        return _load_folder(DEMO_FOLDER, DEMO, device)
    path = Path(source)
    if path.suffix.lower() in _PICKLES:
        raise ModelError(
            f"The model {path} is a pickle ({path.suffix}), which can run any code when opened, so "
            "it is refused. Convert it to .safetensors, or use a diffusers folder."
        )
    if not path.exists():
        raise ModelError(
            f"The model {path} does not exist; give a diffusers folder, or 'demo' for the "
            "built-in model."
        )
    if path.is_file():
        raise ModelError(
            f"The model {path} is a file; give a diffusers folder (the one that holds "
            "model_index.json)."
        )
    return _load_folder(path, path.name, device)


def _load_folder(folder: Path, name: str, device: torch.device | str) -> StableDiffusion:
    _check_folder(folder)
    with _quiet():
        from diffusers import StableDiffusionPipeline  # type: ignore[attr-defined]

        try:
            pipeline = StableDiffusionPipeline.from_pretrained(
                folder,
                torch_dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                safety_checker=None,
                feature_extractor=None,
                image_encoder=None,
                requires_safety_checker=False,
            )
        except Exception as error:
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else repr(error)
            raise ModelError(
                f"The model folder {folder} could not be loaded: {reason} Save the pipeline again "
                "with save_pretrained(..., safe_serialization=True)."
            ) from error
    return StableDiffusion(pipeline, name, device)


def _check_folder(folder: Path) -> None:
    index = folder / "model_index.json"
    if not index.is_file():
        raise ModelError(
            f"The model folder {folder} has no model_index.json; give the folder of a diffusers "
            "Stable Diffusion pipeline."
        )
    try:
        parts = json.loads(index.read_text("utf-8"))
        kind = parts["_class_name"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{index} is not a diffusers pipeline description ({error}); save the pipeline again."
        ) from None
    if kind != "StableDiffusionPipeline":
        raise ModelError(
            f"The model folder {folder} holds a {kind}; only StableDiffusionPipeline "
            "(Stable Diffusion 1.x and 2.x) is supported."
        )
    for part in ("unet", "vae", "text_encoder"):
        if not any((folder / part).glob("*.safetensors")):
            raise ModelError(
                f"The model folder {folder} has no safetensors weights in {part}/; save the "
                "pipeline again with safe_serialization=True (pickled weights are refused)."
            )


@contextmanager
def _quiet():
    """Libraries' loading bars and advice do not belong in a node's log."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    loggers = (diffusers_logging, transformers_logging)
    levels = [(x, x.get_verbosity()) for x in loggers]
    bars = [x for x in loggers if x.is_progress_bar_enabled()]
    try:
        for x in loggers:
            x.set_verbosity(logging.ERROR)
            x.disable_progress_bar()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for x, level in levels:
            x.set_verbosity(level)
        for x in bars:
            x.enable_progress_bar()
