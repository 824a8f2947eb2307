"""In which shape pictures are scored, and which of them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from ..config import ElboConfig
from ..diffusion import Backbone
from ..groups.shapes import Size, size_for

ENLARGED = 4
"""Times, beyond which a picture is mostly blur: a thumbnail or an icon."""


def sizes(backbone: Backbone, config: ElboConfig) -> Callable[[int, int], Size]:
    """(height, width) of a picture -> those at which the model sees it."""
    side, multiple = backbone.resolution, getattr(backbone, "multiple", 0)
    if config.shape == "square" or not multiple:
        return lambda height, width: (side, side)
    return lambda height, width: size_for(height, width, side, multiple)


def blurred(name: str, picture: Tensor, size: Callable[[int, int], Size]) -> str:
    """The warning of a picture that is far smaller than the model sees it; empty for others."""
    height, width = picture.shape[-2:]
    seen = size(height, width)
    times = max(seen[0] / height, seen[1] / width)
    if times <= ENLARGED:
        return ""
    return (
        f"The picture {name} is {width} x {height} pixels and is enlarged {times:.0f} times for "
        f"the model, which sees it at {seen[1]} x {seen[0]}: its scores may be about the blur. "
        "Give it as large as it was made."
    )


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
