"""The part of an attribution that asks the model: pictures of each shape by themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from ..budget import rows
from ..counterfactuals.direct import DirectCounterfactuals
from ..diffusion.room import Room
from ..scoring import allocation, explains, parts
from ..scoring.differences import Differences, by_schedule, differences
from ..scoring.direct import direct_differences
from ..scoring.elbo import Query
from ..steps import Step, Steps
from . import shapes, styles

if TYPE_CHECKING:
    from .attribute import AttributeWork

Shown = Tensor | tuple[Tensor, ...]  # I of (3, H, W)
Measure = Callable[["AttributeWork", bool], Steps[tuple[Shown, Differences]]]
"""What `measure` below is, or one that has others do it."""
DIRECT, WITH_LORAS = 4, 16
"""Pictures of a part, at least; every LoRA is put on once a part."""


def measure(work: AttributeWork, look: bool) -> Steps[tuple[Shown, Differences]]:
    """The pictures as they are shown, (3, H, W) each, and what the models differ by on them.

    look: whether to ask first if the model explains the pictures and knows the styles.
    """
    backbone, config = work.request.backbone, work.config
    yield Step("encode", 0, len(work))
    places = in_parts(work)
    asked = [work.query(some) for some in places]
    query = asked[0][0]
    if look:
        some = chosen(work)
        whole = set(some) <= set(places[0])
        yield from explains.check(
            backbone, lambda: query if whole else work.query(some)[0], work.look
        )
    lora = next(iter(work.loras.values()), None)
    rooms = [
        rows.for_scoring(backbone, lora, config.batch_size, q.latents.shape[1:]) for q, _ in asked
    ]
    if look and isinstance(without := work.request.counterfactuals, DirectCounterfactuals):
        yield from styles.check(backbone, without, query, rooms[0])
    measures = [
        _of_one_shape(work, some, q, room)
        for some, (q, _), room in zip(places, asked, rooms, strict=True)
    ]
    whole = parts.together(measures, places)
    gaps = yield from by_schedule(whole, config, backbone.schedule.length)
    order = [i for some in places for i in some]
    shown = [picture for _, pictures in asked for picture in pictures]
    return parts.in_order(shown, [order.index(i) for i in range(len(work))]), gaps


def in_parts(work: AttributeWork) -> list[list[int]]:
    """The pictures by parts that are encoded and measured each by itself, of one shape each.

    So that the scores are the same bytes wherever a part is measured. A part fills whole calls of
    the model.
    """
    backbone, config = work.request.backbone, work.config
    points = allocation.evaluations(config, backbone.schedule.length)
    lora = next(iter(work.loras.values()), None)
    asked = 1 if work.loras else len(work.request.counterfactuals.names) + 1
    places = []
    for some in by_size(work).values():
        shape = _shape(work, some[0])
        room = rows.for_scoring(backbone, lora, config.batch_size, shape)
        at_once = max(1, room.rows // asked)  # points
        whole = at_once // math.gcd(at_once, points)
        many = whole * math.ceil((WITH_LORAS if lora else DIRECT) / whole)
        places += [some[i : i + many] for i in range(0, len(some), many)]
    return places


def chosen(work: AttributeWork) -> list[int]:
    """Pictures of one shape that tell whether the model explains such."""
    some, _ = first(work)
    n = min(explains.MOST, len(some))
    return [some[i * len(some) // n] for i in range(n)]


def _of_one_shape(
    work: AttributeWork, chosen: Sequence[int], query: Query, room: Room
) -> parts.Measure:
    backbone, config, without = work.request.backbone, work.config, work.request.counterfactuals
    if not isinstance(without, DirectCounterfactuals):
        return lambda points: differences(backbone, work.loras, query, points, config, room)
    given = [work.prompts[i] for i in chosen]
    asked = without.prompts(given, work.request.conditions is not None)
    return lambda points: direct_differences(backbone, asked, query, points, config, room)


def by_size(work: AttributeWork) -> dict[shapes.Size, list[int]]:
    """Which pictures are scored at the same size; latents, at their own."""
    request = work.request
    if request.latents is not None:
        return {(0, 0): list(range(len(work)))}
    return shapes.by_size(request.pictures, shapes.sizes(request.backbone, work.config))


def first(work: AttributeWork) -> tuple[list[int], tuple[int, ...]]:
    """The first pictures of one shape, and that of their latents."""
    some = next(iter(by_size(work).values()))
    return some, _shape(work, some[0])


def _shape(work: AttributeWork, one: int) -> tuple[int, ...]:
    """(c, h, w) of a picture's latents."""
    request = work.request
    if request.latents is not None:
        return tuple(request.latents.shape[1:])
    size = shapes.sizes(request.backbone, work.config)(*request.pictures[one].shape[-2:])
    return shapes.latent_shape(request.backbone, size)
