"""Heat maps over the picture as it was given, in the place that the model saw of it.

What was not seen, beside the centred square that an earlier version cut, say, stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..scoring.verdict import Attribution
from . import heatmap

Box = tuple[int, int, int, int]  # left, top, right, bottom
LEAST = 512  # pixels of the longer side of an overlay, which has a legend below it


@dataclass(frozen=True)
class Overlay:
    """One group's heat map over its picture."""

    group: str
    delta: float
    image: Image.Image


def picture(attribution: Attribution, index: int, size: int) -> Image.Image:
    """The picture as it was given, its longer side `size` pixels."""
    return heatmap.to_image(attribution.original_of(index).float() / 255, size)


def overlays(
    attribution: Attribution, index: int, *, top: int = heatmap.LEADING, size: int = LEAST
) -> tuple[tuple[Overlay, ...], float]:
    """The `top` leading groups' maps over the picture, best first, and the scale that they share.

    size: the longer side of each, in pixels.
    """
    leading = attribution.images[index].scores[:top]
    scale, shown = scale_of(attribution, index, top), picture(attribution, index, size)
    drawn = (
        Overlay(s.group, s.delta, _painted(shown, attribution, index, s.group, scale))
        for s in leading
    )
    return tuple(drawn), scale


def scale_of(attribution: Attribution, index: int, top: int = heatmap.LEADING) -> float:
    """Nats at full colour in the maps of the `top` leading groups."""
    leading = attribution.images[index].scores[:top]
    return heatmap.shared_scale([attribution.map_of(index, s.group) for s in leading])


def layers(
    attribution: Attribution, index: int, *, size: int = 256
) -> tuple[tuple[Overlay, ...], float]:
    """Every group's colours alone, RGBA in the picture's shape, and the scale of `overlays`."""
    scale, shape = scale_of(attribution, index), picture(attribution, index, size).size
    at = box(shape[1], shape[0], attribution.pictures[index])
    drawn = []
    for score in attribution.images[index].scores:
        heat = attribution.map_of(index, score.group)
        part = heatmap.layer(heat, scale=scale, size=(at[2] - at[0], at[3] - at[1]))
        whole = Image.new("RGBA", shape)
        whole.paste(part, at[:2])
        drawn.append(Overlay(score.group, score.delta, whole))
    return tuple(drawn), scale


def _painted(
    shown: Image.Image, attribution: Attribution, index: int, group: str, scale: float
) -> Image.Image:
    heat = attribution.map_of(index, group)
    return _over(shown.copy(), attribution.pictures[index], heat, scale, 0.65)


def overlay(original: Tensor, seen: Tensor, heat: Tensor, scale: float, opacity: float):
    """`heatmap.overlay` on the part of `original` that was seen; the rest of it as it is.

    original: (3, H, W) uint8, a small one is enlarged; seen: (3, h, w), its middle in the model's
    size; heat: (y, x).
    """
    whole = Image.fromarray(original.permute(1, 2, 0).contiguous().numpy())
    if max(whole.size) < LEAST:
        whole = heatmap.to_image(original.float() / 255, LEAST)
    return _over(whole, seen, heat, scale, opacity)


def _over(whole: Image.Image, seen: Tensor, heat: Tensor, scale: float, opacity: float):
    """`whole` itself, painted."""
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
    wide = max(1, round(height * w / h)) if flat else width
    high = height if flat else max(1, round(width * h / w))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high
