"""Per-location deltas laid over the picture that they belong to.

A heat map is (h, w), nats per latent location, and sums to the group's delta. Orange: the style
explains this place; violet: the model does better there without it. `smooth` (a Gaussian, in latent
locations) is for the eye only, as single draws are noisy: scores, tables and the maps themselves
are never changed by it. Pictures are (3, H, W) in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from . import wording
from .drawing import FAINT, INK, PAPER, Canvas

SMOOTH = 0.7  # latent locations
POSITIVE, NEGATIVE = (0.902, 0.380, 0.004), (0.369, 0.235, 0.600)  # the ends of ColorBrewer's PuOr
FADE = 0.8  # how much of the picture's colour goes, so that the map's colours read
NEUTRAL = 0.86  # the grey under the legend's colours
LEADING = 4  # groups that are shown together
CAPTION = 56  # a caption bar's height where the picture is 512 wide


def upsample(heat: Tensor, height: int, width: int, *, smooth: float = 0.0) -> Tensor:
    """(h, w) -> (height, width), bicubic, without going beyond the values that `heat` has."""
    heat = _smoothed(heat, smooth)
    size = (height, width)
    large = F.interpolate(heat[None, None], size, mode="bicubic", align_corners=False)[0, 0]
    return large.clamp(heat.min(), heat.max())


def _smoothed(heat: Tensor, sigma: float) -> Tensor:
    """Gaussian average of (h, w) with edges repeated; not finite values count as 0."""
    heat = torch.nan_to_num(heat.detach().float().cpu(), nan=0.0, posinf=0.0, neginf=0.0)
    if sigma <= 0:
        return heat
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(heat[None, None], (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))[0, 0]


def shared_scale(maps: Tensor | Sequence[Tensor], *, smooth: float = SMOOTH) -> float:
    """The |value| at full colour for all of `maps` (K of (h, w)): their 99th percentile.

    One scale for the groups shown together, so that their colours compare. 0 where all are 0.
    """
    values = [_smoothed(heat, smooth).abs().flatten() for heat in maps]
    if not values:
        return 0.0
    flat = torch.cat(values).numpy()
    return float(np.quantile(flat, 0.99)) or float(flat.max())


def mask(heat: Tensor, scale: float | None = None, *, smooth: float = 0.0) -> Tensor:
    """(h, w) in [0, 1]: where the style explains the picture, 1 at `scale` nats and above.

    scale: `shared_scale` of the groups compared; None takes this map's own.
    """
    scale = shared_scale([heat], smooth=smooth) if scale is None else scale
    heat = _smoothed(heat, smooth)
    return (heat / scale).clamp(0, 1) if scale > 0 else torch.zeros_like(heat)


def overlay(
    picture: Tensor, heat: Tensor, *, scale: float, opacity: float = 0.65, size: int = 512,
    smooth: float = SMOOTH,
) -> Image.Image:  # fmt: skip
    """`heat` in colour over the fading picture, whose longer side becomes `size` pixels.

    The colour's opacity is proportional to |value| / scale, at most `opacity`, so that the picture
    stays visible where nothing happens.
    """
    image = to_image(picture, size)
    pixels = np.asarray(image, np.float32) / 255
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    pixels = pixels + FADE * (grey[..., None] - pixels)
    return _to_pil(_tint(pixels, _strength(heat, scale, image.size, smooth), opacity))


def _strength(heat: Tensor, scale: float, size: tuple[int, int], smooth: float) -> np.ndarray:
    """(H, W) of `size` (width, height): the map in units of `scale`."""
    large = upsample(heat, size[1], size[0], smooth=smooth).numpy()
    return large / scale if scale > 0 else 0 * large


def _colours(strength: np.ndarray, opacity: float) -> tuple[np.ndarray, np.ndarray]:
    """Colour (H, W, 3) and alpha (H, W, 1), of which -1 ... 1 is the full range."""
    alpha = opacity * np.minimum(np.abs(strength), 1)[..., None]
    return np.where(strength[..., None] > 0, np.array(POSITIVE), np.array(NEGATIVE)), alpha


def _tint(pixels: np.ndarray, strength: np.ndarray, opacity: float) -> np.ndarray:
    """(H, W, 3) under the colours of `strength` (H, W)."""
    color, alpha = _colours(strength, opacity)
    return pixels + alpha * (color - pixels)


def to_image(picture: Tensor, size: int | None = None) -> Image.Image:
    """(3, H, W) in [0, 1] as RGB; with `size`, the longer side is resampled to it (Lanczos)."""
    image = _to_pil(torch.nan_to_num(picture.detach().float().cpu()).permute(1, 2, 0).numpy())
    if size is None or max(image.size) == size:
        return image
    factor = size / max(image.size)
    new = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image.resize(new, Image.Resampling.LANCZOS)


def _to_pil(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray((pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8))


def ramp(width: int, height: int, *, opacity: float = 0.65) -> Image.Image:
    """The colours from -scale (left) to +scale (right) over a neutral grey."""
    strength = np.broadcast_to(np.linspace(-1, 1, width), (height, width))
    return _to_pil(_tint(np.full((height, width, 3), NEUTRAL), strength, opacity))


def legend(canvas: Canvas, x: float, y: float, w: float, scale: float, unit: str) -> None:
    """A colour bar of width w whose top is at y, with its numbers and unit; w / 5 high."""
    u, decimals = w / 200, wording.digits([scale])
    thick = 11 * u
    canvas.picture(ramp(round(w * canvas.scale), round(thick * canvas.scale)), x, y, w, thick)
    ends = {"left": (x, -scale), "center": (x + w / 2, 0.0), "right": (x + w, scale)}
    for align, (at, value) in ends.items():
        text = wording.number(value, decimals, signed=True) if value else "0"
        canvas.text(at, y + 20 * u, text, 11 * u, INK, align=align)
    per = f"{unit} per location"
    per = canvas.fit(per, 10 * u, w)
    canvas.text(x + w / 2, y + 34 * u, per, 10 * u, FAINT, align="center")


def with_legend(image: Image.Image, scale: float, title: str, unit: str = "nats") -> Image.Image:
    """`image` above a caption bar: the group's name and what the colours are worth."""
    zoom = max(image.width, 256) / 512
    bar = Canvas(image.width / zoom, CAPTION, scale=zoom)
    wide = min(200.0, bar.width * 0.45)
    title = bar.fit(title, 17, bar.width - wide - 48, bold=True)
    bar.text(16, bar.height / 2, title, 17, INK, bold=True)
    legend(bar, bar.width - wide - 16, 8, wide, scale, unit)
    caption = bar.image()
    joined = Image.new("RGB", (image.width, image.height + caption.height), PAPER)
    joined.paste(image, (0, 0))
    joined.paste(caption, (0, image.height))
    return joined


def layer(
    heat: Tensor, *, scale: float, size: tuple[int, int], smooth: float = SMOOTH
) -> Image.Image:
    """The map's colours alone, RGBA of `size` (width, height); opaque at |value| = scale."""
    return _to_pil(np.concatenate(_colours(_strength(heat, scale, size, smooth), 1.0), -1))
