"""Colour profiles in pictures: those that are not sRGB in effect are converted to it."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
from PIL import Image

MOST = 2  # levels of 255 by which a profile may differ from sRGB and still be called that
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def differs(picture: Image.Image) -> bool:
    """Whether `to_srgb` has something to do; from the header alone."""
    return _transform(picture) is not None


def to_srgb(picture: Image.Image) -> Image.Image | None:
    """RGB in sRGB's colours; None where they are so already, or nothing else is known."""
    if (found := _transform(picture)) is None:
        return None
    mode, transform = found
    return transform.apply(picture if picture.mode == mode else picture.convert(mode))


def _transform(picture: Image.Image) -> tuple[str, Any] | None:
    profile = picture.info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile or picture.mode.startswith(("I", "F")):
        return None
    transform = _read(profile)
    if transform is None:
        return None
    grey, cmyk = picture.mode in ("1", "L", "LA", "La"), picture.mode == "CMYK"
    fits = {"L": grey, "CMYK": cmyk, "RGB": not grey and not cmyk}[transform[0]]
    return transform if fits else None


@functools.lru_cache(maxsize=32)
def _read(profile: bytes) -> tuple[str, Any] | None:
    """(mode, transform); None for sRGB, however it is called, and for what cannot be read."""
    try:
        from PIL import ImageCms
    except ImportError:  # a Pillow that was built without it
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        header: Any = source.profile
        mode = _MODES.get(header.xcolor_space.strip())
        if mode is None:
            return None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        sample = _sample(mode)
        change = np.array(transform.apply(sample), int) - np.array(sample.convert("RGB"), int)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if np.abs(change).max() <= MOST else (mode, transform)


def _sample(mode: str) -> Image.Image:
    """Colours from all of the cube, or all greys."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    axes = np.meshgrid(*[steps] * (4 if mode == "CMYK" else 3), indexing="ij")
    cube = np.stack([a.ravel() for a in axes], -1)[None]
    return Image.fromarray(np.ascontiguousarray(cube), mode)
