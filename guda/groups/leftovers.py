"""What other programs, and this one, leave beside pictures: known by name, left out, and said."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from .names import words
from .remarks import HIDDEN, Reason

OUTPUTS = {
    "counterfactuals.json": Reason("set of GUDA", "sets of GUDA"),
    "attribution.json": Reason("report of GUDA", "reports of GUDA"),
    "model_index.json": Reason("diffusion model", "diffusion models"),
}
"""A folder with such a file is not a style."""
SYSTEM = Reason("system folder", "system folders")
THUMBNAILS = Reason("folder of thumbnails", "folders of thumbnails")
SIDE = Reason("folder of a trainer", "folders of a trainer")
MASK = Reason("mask", "masks")
THUMBNAIL = Reason("thumbnail", "thumbnails")

_SYSTEM = re.compile(
    r"\$.*|lost\+found|lost\.dir|system volume information|recycler|recycled|#recycle|#snapshot"
    r"|@eadir|@recycle|@recently-snapshot|@tmp|found\.\d{3}|__macosx|network trash folder"
    r"|temporary items|trash|trashes|__pycache__|node_modules",
    re.IGNORECASE,
)
_THUMBNAILS = re.compile(r"\W?(?:thumb|thumbs|thumbnail|thumbnails|_?previews?)", re.IGNORECASE)
_MASKS = re.compile(
    r"(?:masks?|mattes?|alphas?|depths?|depth_maps?|canny|poses?|openpose|control(?:net)?|controls"
    r"|conditionings?|conditioning_images?|segmentations?|segs?|normals?|edges?|control_images?)",
    re.IGNORECASE,
)
_SIDE = words(
    """
    reg regs regularization regularisation class class_images classes log logs model models sample
    samples cache caches latents output outputs lora loras checkpoints captions tags config
    configs json txt wandb tensorboard
    """
)
"""Folders that trainers keep beside those of the styles."""
_JUNK = re.compile(
    r"thumbs\.db|ehthumbs.*\.db|desktop\.ini|zbthumbnail\.info|picasa\.ini|icon\r|\._.*",
    re.IGNORECASE,
)
# "fox-masklabel" (OneTrainer), "fox_mask", "fox.thumb", "fox-150x150" (WordPress), "thumb_fox"
_MASK_OF = re.compile(
    r"(?P<of>.+)[-_. ](?:masklabel|condlabel|mask|matte|alpha|depth|canny|openpose|seg)",
    re.IGNORECASE,
)
_THUMB_OF = re.compile(
    r"(?:thumb(?:nail)?[-_. ](?P<after>.+)|(?P<of>.+)[-_. ](?:thumb(?:nail)?|preview|small"
    r"|\d{2,4}x\d{2,4}))",
    re.IGNORECASE,
)


def folder_reason(path: Path) -> Reason | None:
    """Why a folder holds no pictures of a style, wherever it is; None where it may."""
    if path.name.startswith("."):
        return HIDDEN
    if _SYSTEM.fullmatch(path.name):
        return SYSTEM
    if _THUMBNAILS.fullmatch(path.name):
        return THUMBNAILS
    return next((what for name, what in OUTPUTS.items() if (path / name).is_file()), None)


def is_side(name: str) -> bool:
    return name.casefold() in _SIDE


def is_junk(name: str) -> bool:
    return bool(_JUNK.fullmatch(name))


def extra_pictures(keys: Iterable[str]) -> dict[str, Reason]:
    """Of pictures by their paths: those that are another's mask or thumbnail, and why."""
    paths = {key: PurePosixPath(key) for key in keys}
    stems = {path.with_suffix("").as_posix().casefold() for path in paths.values()}
    in_masks = {k for k, p in paths.items() if any(_MASKS.fullmatch(d) for d in p.parts[:-1])}
    outside = {paths[key].stem.casefold() for key in paths if key not in in_masks}
    matching = [k for k in in_masks if _original(paths[k].stem).casefold() in outside]
    masks = in_masks if in_masks and 2 * len(matching) >= len(in_masks) else set()
    extra = dict.fromkeys(masks, MASK)
    for key, path in paths.items():
        mask, thumb = _MASK_OF.fullmatch(path.stem), _THUMB_OF.fullmatch(path.stem)
        if mask and (path.stem.lower().endswith("label") or _beside(path, mask["of"]) in stems):
            extra[key] = MASK
        elif thumb and _beside(path, thumb["of"] or thumb["after"]) in stems:
            extra[key] = THUMBNAIL
    return extra


def _original(stem: str) -> str:
    mask = _MASK_OF.fullmatch(stem)
    return mask["of"] if mask else stem


def _beside(path: PurePosixPath, stem: str) -> str:
    return (path.parent / stem).as_posix().casefold()
