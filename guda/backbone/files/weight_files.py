"""Which files of a diffusers folder hold a part's weights: plain, of a variant, whole or split."""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import ModelError

_VARIANTS = ("", "fp32", "fp16", "bf16", "ema", "non_ema")  # the first that is there is taken
_WEIGHTS = re.compile(
    r"(?P<stem>diffusion_pytorch_model|model)(?:\.(?P<early>\w+))?"
    r"(?:-(?P<n>\d{5})-of-(?P<all>\d{5}))?(?:\.(?P<late>\w+))?\.safetensors"
)


def of(path: Path, part: str) -> tuple[Path, ...]:
    """The files of the first whole variant of a part's weights."""
    stem = "model" if part.startswith("text_encoder") else "diffusion_pytorch_model"
    variants: dict[str, dict[int, Path]] = {}
    counts: dict[str, int] = {}
    for file in sorted((path / part).glob("*.safetensors")):
        match = _WEIGHTS.fullmatch(file.name)
        if match is None or match["stem"] != stem or not file.is_file():
            continue
        variant = match["early"] or match["late"] or ""
        variant += " " * bool(match["n"])  # in several files, beside the same in one
        variants.setdefault(variant, {})[int(match["n"] or 1)] = file
        counts[variant] = int(match["all"] or 1)
    whole = {v: tuple(f.values()) for v, f in variants.items() if len(f) == counts[v]}
    for variant in _VARIANTS:
        for name in (variant, f"{variant} "):
            if name in whole:
                return whole[name]
    if len(whole) == 1:
        return next(iter(whole.values()))
    where = f"The model folder {path}"
    if whole:
        raise ModelError(
            f"{where} has several weights in {part}/ ({', '.join(sorted(whole))}), and none that "
            f"is plain; keep the one that is meant, named {stem}.safetensors."
        )
    if variants:
        variant, files = next(iter(variants.items()))
        raise ModelError(
            f"{where} has {len(files)} of the {counts[variant]} files of its weights in {part}/; "
            "download the missing ones."
        )
    raise ModelError(
        f"{where} has no safetensors weights in {part}/; save the pipeline again with "
        "safe_serialization=True (pickled weights are refused)."
    )
