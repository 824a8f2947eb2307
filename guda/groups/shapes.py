"""The shape in which a model sees a picture: its own, at about the model's size."""

from __future__ import annotations

import math

Size = tuple[int, int]  # height and width
AS_IT_IS = 1.6
"""So much larger or smaller in area than the model's own square may a picture be."""


def size_for(height: int, width: int, resolution: int, multiple: int) -> Size:
    """Height and width at which a model sees a picture of this shape.

    Sides are multiples of `multiple`, the area is about `resolution` squared. A picture whose sides
    are so and whose area is near enough stays as it is; a square has the sides `resolution`.
    """
    if height == width:
        return resolution, resolution
    share = height * width / resolution**2
    if height % multiple == width % multiple == 0 and 1 / AS_IT_IS <= share <= AS_IT_IS:
        return height, width
    rounded = [max(1, round(s / math.sqrt(share) / multiple)) * multiple for s in (height, width)]
    return (resolution, resolution) if rounded[0] == rounded[1] else (rounded[0], rounded[1])


def box(height: int, width: int, size: Size) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the largest centred part of a picture in the shape of `size`.

    In pixels of the picture; it is what `fit` keeps.
    """
    flat = height * size[1] <= width * size[0]  # wider than asked for
    w = height * size[1] / size[0] if flat else width
    h = height if flat else width * size[0] / size[1]
    left, top = (width - w) / 2, (height - h) / 2
    return left, top, left + w, top + h
