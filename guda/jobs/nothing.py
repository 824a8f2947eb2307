"""Pictures that show nothing, or hardly anything, and are ranked all the same.

Black ones of a safety filter, empty latents, thumbnails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from ..config import ElboConfig
from ..groups import looks
from ..groups.shapes import Size
from . import shapes

if TYPE_CHECKING:
    from .attribute import AttributeRequest

ENLARGED = 4
"""Times, beyond which a picture is mostly blur: a thumbnail or an icon."""


def doubts(request: AttributeRequest, config: ElboConfig) -> Iterator[str]:
    """Warnings of the pictures, or of the latents that are scored in their place."""
    if request.latents is not None:
        for name, latent in zip(request.names, request.latents, strict=True):
            if looks.flat(latent):
                yield (
                    f"The latents of {name} are empty, as those of an Empty Latent Image are, so "
                    "its scores mean nothing. Link the latents that come out of the KSampler."
                )
        return
    size = shapes.sizes(request.backbone, config)
    for name, picture in zip(request.names, request.pictures, strict=True):
        if what := looks.flat(picture):
            yield (
                f"The picture {name} is {what} and shows nothing, so its scores mean nothing. Give "
                "it as it was before it was blanked, as by a safety filter."
            )
        elif text := _blurred(name, picture, size):
            yield text


def _blurred(name: str, picture: Tensor, size: Callable[[int, int], Size]) -> str:
    """Of a picture that is far smaller than the model sees it; empty for others."""
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
