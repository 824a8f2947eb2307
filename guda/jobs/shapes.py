"""In which shape pictures are scored, and which of them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from ..config import ElboConfig
from ..diffusion import Backbone
from ..groups.shapes import Size, size_for


def sizes(backbone: Backbone, config: ElboConfig) -> Callable[[int, int], Size]:
    """(height, width) of a picture -> those at which the model sees it."""
    side, multiple = backbone.resolution, getattr(backbone, "multiple", 0)
    if config.shape == "square" or not multiple:
        return lambda height, width: (side, side)
    return lambda height, width: size_for(height, width, side, multiple)


def by_size(pictures: Sequence[Tensor], size: Callable[[int, int], Size]) -> dict[Size, list[int]]:
    """Which pictures are seen at the same size, in the order of the first of each."""
    found: dict[Size, list[int]] = {}
    for i, picture in enumerate(pictures):
        found.setdefault(size(*picture.shape[-2:]), []).append(i)
    return found


def latent_shape(backbone: Backbone, size: Size) -> tuple[int, int, int]:
    """(c, h, w) of a picture of this size."""
    channels, side, _ = backbone.latent_shape
    height, width = (pixels * side // backbone.resolution for pixels in size)
    return channels, height, width
