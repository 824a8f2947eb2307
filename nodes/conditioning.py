"""CONDITIONING of a graph: what of it counts in a score, and what is refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..guda.errors import ConfigError
from .native import Texts

CARRIED = (
    "guidance", "width", "height", "crop_w", "crop_h", "target_width", "target_height",
    "aesthetic_score", "reference_latents", "reference_latents_method",
)  # fmt: skip
"""What stands beside the text and goes along with every style's prompt as well."""
REFUSED = {
    "area": "an area", "mask": "a mask", "control": "a ControlNet", "gligen": "a GLIGEN box",
    "hooks": "hooks", "unclip_conditioning": "a picture to go by (unCLIP)",
    "concat_latent_image": "a picture to fill in", "style_model": "a style model",
}  # fmt: skip
RANGE = {"start_percent": 0.0, "end_percent": 1.0}
EXTRA = {"clip_start_percent": 0.0, "clip_end_percent": 1.0, "strength": 1.0, "mask_strength": 1.0}
"""Keys that do nothing at these values."""
SILENT = ("set_area_to_bounds", "control_apply_to_uncond", "concat_mask")  # said by another key
BASE = "a plain CLIP Text Encode"


def one(positive: Sequence, known: Sequence[str]) -> tuple[Tensor, dict[str, Any]]:
    """The one prompt of a CONDITIONING, and what stands beside it.

    known: what may stand there. Raises ConfigError for what cannot be honoured.
    """
    if len(positive) != 1:
        raise ConfigError(
            f"positive holds {len(positive)} conditionings (Conditioning (Combine), say); a score "
            f"is of one prompt. Link {BASE}, or Conditioning (Concat)."
        )
    ((cond, beside),) = positive
    beside = dict(beside)
    for key, what in REFUSED.items():
        if beside.get(key) is not None:
            raise ConfigError(
                f"positive carries {what} ({key}), which a score leaves no room for; link {BASE}."
            )
    for key, whole in (RANGE | EXTRA).items():
        if beside.pop(key, whole) != whole:
            what = "a range of timesteps" if key in RANGE else "a strength or a schedule"
            raise ConfigError(
                f"positive carries {what} ({key}), and a score is of all noise "
                f"levels in full; link {BASE}."
            )
    left = {k: v for k, v in beside.items() if k not in SILENT and v is not None}
    strange = sorted(left.keys() - {*known, "pooled_output"})
    if strange:
        raise ConfigError(
            f"positive carries {', '.join(strange)}, of which it is not known what a score would "
            f"have to make; link {BASE}."
        )
    return cond, left


def carried(beside: Mapping[str, Any]) -> dict[str, Any]:
    """What goes along with every style's prompt."""
    return {k: v for k, v in beside.items() if k in CARRIED}


def of_native(model, positives: Sequence, count: int) -> Texts | None:
    """For `NativeModel`: a row per picture, and what is beside the text for every prompt.

    Raises ConfigError, also where what goes along differs from picture to picture.
    """
    given = spread([p for p in positives if p is not None], count)
    if not given:
        return None
    known = {k for _, beside in model.encode_prompts([""])[0] for k in beside}
    parts = [one(p, (*known, *CARRIED)) for p in given]
    along = carried(parts[0][1])
    if any(not same(carried(beside), along) for _, beside in parts):
        raise ConfigError(
            "the conditionings in positive differ in what they carry beside the text "
            f"({', '.join(along) or 'nothing in the first'}); attribute the pictures one by one."
        )
    model.carry(along)
    return Texts([[cond, beside]] for cond, beside in parts)


def of_backbone(model, positives: Sequence, count: int):
    """The same for the pack's own models, which take a text and nothing beside it."""
    from ..guda.diffusion import Conditioning

    given = spread([p for p in positives if p is not None], count)
    if not given:
        return None
    plain = model.encode_prompts([""])
    rows = []
    for cond, beside in (one(p, ()) for p in given):
        pooled = beside.get("pooled_output")
        width = plain.embeds.shape[-1]
        if cond.shape[-1] != width or (plain.added and not isinstance(pooled, Tensor)):
            raise ConfigError(
                f"positive has text embeddings of width {cond.shape[-1]}, and the model "
                f"{model.name} takes {width}; encode it by the clip of the same checkpoint."
            )
        added = {}
        if plain.added and isinstance(pooled, Tensor):
            added["text_embeds"] = pooled.clone().float()
        rows.append(Conditioning(cond.clone().float(), added))
    return Conditioning.cat(rows)


def spread(given: Sequence, count: int) -> list:
    """One for all, or one per picture. Raises ConfigError."""
    if len(given) not in (0, 1, count):
        raise ConfigError(
            f"{len(given)} conditionings were given for {count} pictures; give one for all, or one "
            "per picture."
        )
    return list(given) * (count if len(given) == 1 else 1)


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(_equal(a[k], b[k]) for k in a)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and bool(torch.equal(a, b))
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_equal, a, b))
    return type(a) is type(b) and a == b
