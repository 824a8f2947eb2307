"""Heat maps over the picture as it was given, in the place that the model saw of it."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import heatmap

Box = tuple[int, int, int, int]  # left, top, right, bottom
LEAST = 512  # pixels of the longer side of an overlay, which has a legend below it


def overlay(original: Tensor, seen: Tensor, heat: Tensor, scale: float, opacity: float):
    """`heatmap.overlay` on the part of `original` that was seen; the rest of it as it is.

    original: (3, H, W) uint8, a small one is enlarged; seen: (3, h, w), its middle in the model's
    size; heat: (y, x).
    """
    whole = Image.fromarray(original.permute(1, 2, 0).contiguous().numpy())
    if max(whole.size) < LEAST:
        whole = heatmap.to_image(original.float() / 255, LEAST)
    left, top, right, bottom = box(whole.height, whole.width, seen)
    part = torch.from_numpy(np.array(whole.crop((left, top, right, bottom)))).permute(2, 0, 1) / 255
    size = max(right - left, bottom - top)
    painted = heatmap.overlay(part, heat, scale=scale, opacity=opacity, size=size)
    whole.paste(painted, (left, top))
    return whole


def mask(original: Tensor, seen: Tensor, heat: Tensor, scale: float) -> Tensor:
    """(H, W) in [0, 1], 1 where the style explains the picture, 0 where it was not seen."""
    left, top, right, bottom = box(original.shape[-2], original.shape[-1], seen)
    whole = torch.zeros(original.shape[-2:])
    large = heatmap.upsample(heat, bottom - top, right - left, smooth=heatmap.SMOOTH)
    whole[top:bottom, left:right] = heatmap.mask(large, scale)
    return whole


def box(height: int, width: int, seen: Tensor) -> Box:
    """The largest centred part of a picture in the shape of `seen`, in whole pixels."""
    h, w = seen.shape[-2:]
    flat = height * w <= width * h
    wide = round(height * w / h) if flat else width
    high = height if flat else round(width * h / w)
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high
