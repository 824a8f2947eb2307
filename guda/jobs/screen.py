"""Which styles are worth unlearning for the pictures at hand: told by the model's own answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..counterfactuals.direct import DirectCounterfactuals
from ..errors import ConfigError
from ..groups import StyleGroups
from ..scoring.verdict import Attribution
from ..steps import Steps
from .attribute import AttributeRequest, attribute


def screen(
    request: AttributeRequest, groups: StyleGroups, most: int, names: Sequence[str] | None = None
) -> Steps[tuple[str, ...]]:
    """The `most` styles that lead the direct answers for the request's pictures, the first first.

    request: its counterfactuals are not read. names: the candidates, by default all groups.
    A direct answer costs K + 1 evaluations per point and no training, so that of 60 candidates the
    five that matter are unlearned. Raises ConfigError when `most` leaves nothing to choose.
    """
    candidates = tuple(groups.names if names is None else dict.fromkeys(names))
    if not 0 < most < len(candidates):
        raise ConfigError(
            f"screen is {most}, and there are {len(candidates)} styles to choose from; give 1 to "
            f"{len(candidates) - 1}, or leave it out to unlearn them all."
        )
    without = DirectCounterfactuals.of(groups).subset(candidates)
    answer = yield from attribute(dataclasses.replace(request, counterfactuals=without))
    return leading(answer)[:most]


def leading(answer: Attribution) -> tuple[str, ...]:
    """All styles, by the sum of 1 / rank over the pictures; ties in the order of their names."""
    worth = {name: sum(1 / image[name].rank for image in answer.images) for name in answer.groups}
    return tuple(sorted(worth, key=lambda name: (-worth[name], name)))
