"""Base models from disk. Nothing is ever fetched, and pickles are never opened."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from ...errors import GudaError, ModelError
from ..stable_diffusion import StableDiffusion
from .assemble import Checkpoint, Choices, assemble
from .folder import describe
from .folder_parts import build
from .header import FileTensors, identify, read_header
from .scheduler import AUTO, check_prediction
from .stated import few_steps

DEMO = "demo"
DEMO_FOLDER = Path(__file__).resolve().parents[2] / "demo" / "model"
CHECKPOINTS = {".safetensors", ".sft"}
_OF_A_MODEL = {".safetensors", ".json", ".txt"}
_PICKLES = {".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl"}


def load(
    source: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    prediction: str = AUTO,
    resolution: int = 0,
    vae: Path | Mapping[str, Tensor] | None = None,
    tokenizer: Path | str | None = None,
) -> StableDiffusion:
    """Load `source`: "demo" (the built-in model), a .safetensors checkpoint, a diffusers folder.

    dtype: of the UNet and the text encoders; the VAE is float32.
    prediction: what the UNet predicts; "auto" finds out. resolution: pixels, 0 for the model's own.
    vae: a file or tensors, in place of the model's VAE; tokenizer: a folder, see `tokenizer`; both
    for checkpoints only. Raises ModelError that names the path and the remedy.
    """
    size = _resolution(resolution)
    if str(source) == DEMO:
        return _load_folder(DEMO_FOLDER, DEMO, device, dtype, prediction, size)
    path = Path(source)
    _check_name(path)
    if path.is_dir():
        if vae is not None:
            raise ModelError(f"The model folder {path} has its own VAE; leave vae out.")
        return _load_folder(path, path.name, device, dtype, prediction, size)
    files = {"vae": vae, "tokenizer": tokenizer}
    if isinstance(vae, str | Path):
        vae = _vae_file(Path(vae))
    choices = Choices(device, dtype, prediction, size, vae, tokenizer)
    with FileTensors(path) as tensors, _quiet():
        where = f"The model {path}"
        checkpoint = Checkpoint(tensors, tensors.entries, where, tensors.metadata)
        made = assemble(checkpoint, path.stem, choices)
    made.files = (path,)
    if not isinstance(files["vae"], Mapping):
        told = {k: str(Path(f).absolute()) for k, f in {"source": path, **files}.items() if f}
        made.source = {**told, "prediction": prediction, "resolution": size}
    return made


def check(source: str | Path) -> None:
    """Raises ModelError for what `load` will refuse, as far as names and headers tell."""
    if str(source) == DEMO:
        return
    path = Path(source)
    _check_name(path)
    if path.is_dir():
        describe(path)
    else:
        identify(read_header(path), f"The model {path}")


def _check_name(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        raise ModelError(
            f"The model {path} is a pickle ({path.suffix}), which can run any code when opened, so "
            "it is refused. Convert it to .safetensors, or use a diffusers folder."
        )
    if not path.exists():
        raise ModelError(
            f"The model {path} does not exist; give a .safetensors checkpoint, a diffusers folder, "
            "or 'demo' for the built-in model."
        )
    if path.is_dir():
        return
    if suffix == ".gguf":
        raise ModelError(
            f"The model {path} is quantized (GGUF), and its weights cannot be trained; use the "
            "fp16, bf16 or fp32 .safetensors file of the model."
        )
    if suffix not in CHECKPOINTS:
        raise ModelError(
            f"The model {path} is not a .safetensors file; give a .safetensors checkpoint or a "
            "diffusers folder (the one that holds model_index.json)."
        )


def _resolution(pixels: int) -> int:
    if pixels < 0:
        raise ModelError(f"resolution is {pixels}; give pixels, or 0 for the model's own.")
    return pixels


def _vae_file(path: Path) -> dict[str, Tensor]:
    if path.suffix.lower() not in CHECKPOINTS:
        raise ModelError(f"The VAE {path} is not a .safetensors file; convert it or give another.")
    with FileTensors(path) as tensors:
        return dict(tensors)


def _load_folder(
    path: Path,
    name: str,
    device: torch.device | str,
    dtype: torch.dtype,
    prediction: str,
    resolution: int,
) -> StableDiffusion:
    folder = describe(path)
    with _quiet():
        try:
            parts = build(folder, dtype)
        except GudaError:
            raise
        except Exception as error:
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else repr(error)
            raise ModelError(
                f"The model folder {path} could not be loaded: {reason} Save the pipeline again "
                "with save_pretrained(..., safe_serialization=True)."
            ) from error
    own = parts.scheduler.config.get("prediction_type", "epsilon")
    if prediction != AUTO:
        check_prediction(prediction)
        parts.scheduler.register_to_config(prediction_type=prediction)
    made = StableDiffusion(parts, name, device, resolution=resolution)
    made.overrides |= {"prediction": made.prediction} if made.prediction != own else {}
    made.warnings = (*made.warnings, *few_steps(name, {}))
    made.files = tuple(p for p in sorted(path.rglob("*")) if p.suffix in _OF_A_MODEL)
    source = DEMO if path == DEMO_FOLDER else str(path.absolute())
    made.source = {"source": source, "prediction": prediction, "resolution": resolution}
    return made


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
