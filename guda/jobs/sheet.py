"""Asked for the style, with it and without it: what a counterfactual looks like, from same seeds.

Two of the group's contents, in its own style and in a style that was kept, drawn by the full model
and by the model without the style. The first should differ, the second should not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..config import SampleConfig
from ..counterfactuals import CounterfactualSet, Entry
from ..counterfactuals.direct import DirectCounterfactuals
from ..counterfactuals.held import existing
from ..diffusion import Backbone
from ..errors import SaveError
from ..files.png import save_with_text, text_of
from ..groups import Example, StyleGroups
from ..groups.draw import draw
from ..steps import Step, Steps, passed, warn
from .plan import Plan, asked
from .unlearn import UnlearnWork

Render = Callable[..., Image.Image]
"""Makes a picture of a sheet's style, kept, prompts and pictures."""

CONTENTS = 2
DRAWING = SampleConfig(steps=10)
KEY = "guda.key"
"""What a sheet's file was drawn from, in its text."""


@dataclass(frozen=True)
class Sheet:
    """pictures: (2, 2 * contents, 3, H, W), by the full model and without the style."""

    style: str
    kept: str
    prompts: tuple[str, ...]  # of the style, then of the one that was kept
    pictures: Tensor


def path_of(made: CounterfactualSet, entry: Entry) -> Path:
    """Beside the LoRA, where programs that list LoRAs look for a picture of it."""
    return made.folder / f"{entry.slug}.png"


def is_drawn(made: CounterfactualSet, entry: Entry) -> bool:
    """Whether the sheet of this very counterfactual lies there."""
    return text_of(path_of(made, entry)).get(KEY) == entry.key


def sheet(
    backbone: Backbone,
    groups: StyleGroups,
    made: CounterfactualSet,
    entry: Entry,
    drawing: SampleConfig | None = None,
) -> Steps[Sheet | None]:
    """None for a model that takes no prompts, whose pictures are of no style that one asks for."""
    if not backbone.conditional:
        return None
    names = list(groups.names)
    kept = groups[names[(names.index(entry.name) + 1) % len(names)]]
    shown = _contents(groups[entry.name].examples)
    prompts = tuple(e.prompt(s) for s in (entry.style, kept.style) for e in shown)
    drawing = drawing or DRAWING
    full = yield from draw(backbone, prompts, drawing)
    with backbone.counterfactual(made.load(entry, backbone)):
        without = yield from draw(backbone, prompts, drawing)
    return Sheet(entry.name, kept.name, prompts, torch.stack([full, without]))


def sheets(
    backbone: Backbone,
    groups: StyleGroups,
    made: CounterfactualSet,
    render: Render,
    drawing: SampleConfig | None = None,
) -> Steps[None]:
    """One beside every LoRA that has none of its own yet; those drawn before a run ended stay.

    Where none can be written, a warning says so.
    """
    for entry in made.entries:
        if is_drawn(made, entry):
            continue
        steps = sheet(backbone, groups, made, entry, drawing)
        drawn = yield from passed(steps, lambda step, name=entry.name: _told(step, name))
        if drawn is None:
            return
        image = render(drawn.style, drawn.kept, drawn.prompts, drawn.pictures)
        try:
            save_with_text(image, path_of(made, entry), {KEY: entry.key})
        except SaveError as error:
            yield warn(f"The sheet of {entry.name!r} was not kept: {error}")
            return


def _told(step: Step, style: str) -> Step:
    return step if step.warning else replace(step, stage="sheet", group=style)


def of_set(made: CounterfactualSet | DirectCounterfactuals) -> dict[str, Path]:
    """The sheets that lie there, by style; none for direct counterfactuals."""
    if isinstance(made, DirectCounterfactuals):
        return {}
    return {e.name: path_of(made, e) for e in made.entries if is_drawn(made, e)}


def missing(work: UnlearnWork) -> int:
    """How many sheets would be drawn when the work is done."""
    if not work.request.backbone.conditional:
        return 0
    left = {group.name for group, _ in work.left}
    finished = {group.name for group in work.making.chosen} - left
    held = existing(work.making.folder, work.request.backbone)
    here = set(of_set(replace(held, entries=tuple(e for e in held.entries if e.name in finished))))
    return len(left | finished - here)


def priced(price: Steps[Plan], backbone: Backbone, styles: int) -> Steps[Plan]:
    """A price with the sheets of so many styles, which are drawn afterwards."""
    plan = yield from price
    if not styles:
        return plan
    drawn = styles * 2 * (2 * CONTENTS) * DRAWING.steps * 2  # with and without it, guided
    return (yield from asked(plan, backbone, {"sheet": drawn}))


def _contents(examples: tuple[Example, ...]) -> list[Example]:
    """The first with different contents."""
    return list({e.content: e for e in reversed(examples)}.values())[::-1][:CONTENTS]
