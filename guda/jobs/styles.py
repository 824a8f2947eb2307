"""The job that asks which styles the model knows: its request, its price and its run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..budget import footprint, rows, warmup
from ..config import SampleConfig
from ..counterfactuals.direct import DirectCounterfactuals
from ..diffusion import Backbone
from ..diffusion.room import Room
from ..errors import CounterfactualError, GroupsError
from ..files.destination import check_text
from ..groups import prompts as markup
from ..groups.draw import draw
from ..groups.in_styles import in_styles
from ..groups.made_up import MADE_UP
from ..scoring import explains, known
from ..scoring.elbo import Query
from ..scoring.known import Asked, Knowledge, KnownStyles
from ..steps import Step, Steps, about, keeps_warnings, warn
from ..version import __version__
from .plan import Plan

CONTENTS: tuple[str, ...] = (
    "a portrait of a woman", "a sleeping cat", "a bowl of fruit", "a single tree",
    "a village street", "a sailing ship",
)  # fmt: skip
"""What is shown where nobody says."""
DRAWING = SampleConfig(steps=10)
BATCH = 32
FEW, LOOKS, LEVEL, DOUBT = 8, 4, (750,), 0.99
"""A first look before an attribution: made-up names, contents, noise level, and the share of
made-up names beyond which a style is not warned of."""


@dataclass(frozen=True)
class StylesRequest:
    """Which of the styles does the model know? contents: what it is asked to show in them."""

    backbone: Backbone
    styles: DirectCounterfactuals
    contents: Sequence[str] = CONTENTS


def styles(request: StylesRequest) -> Steps[KnownStyles]:
    """Survey and run: what the model knows of every style."""
    return (yield from survey(request).run())


def survey(request: StylesRequest) -> StylesWork:
    """What is to be done. Raises GudaError for everything that would be refused on the way."""
    if not request.backbone.conditional:
        raise CounterfactualError(
            f"The model {request.backbone.name!r} takes no prompts, so it knows no style by name."
            " Choose a model with a text encoder."
        )
    if not request.styles.names:
        raise GroupsError("there are no styles to ask for; give at least one, one per line.")
    contents = tuple(dict.fromkeys(c.strip() for c in request.contents))
    if len(contents) < 2 or not all(contents):
        raise GroupsError(
            f"the contents are {', '.join(map(repr, contents)) or 'none'}; give two different ones "
            "at least, none of them blank, as the interval is one over contents."
        )
    for content in contents:
        check_text(content, "a content")
    return StylesWork(request, contents)


@dataclass(frozen=True)
class StylesWork:
    """A check of styles that was surveyed: nothing is wrong with it, all of it is to be done."""

    request: StylesRequest
    contents: tuple[str, ...]

    @property
    def evaluations(self) -> dict[str, int]:
        """Noisy pictures through the UNet, by stage."""
        asked = known.evaluations(len(self.contents), len(self.request.styles.names), len(MADE_UP))
        drawn = 2 * DRAWING.steps * len(self.contents)  # with and without the prompt
        return {"pictures": drawn, "styles": asked}

    @keeps_warnings
    def price(self) -> Steps[Plan]:
        """What it will take, after a look at the model and a warm-up."""
        backbone = self.request.backbone
        yield from self._doubts()
        checked = yield from explains.check_reading(backbone)
        yield Step("plan", 0, 1)
        room = self._room()
        pace = warmup.scoring(backbone, None, room)
        yield Step("plan", 1, 1)
        asked = {"check": checked, **self.evaluations}
        memory = footprint.scoring(backbone, None, room.rows)
        seconds = pace * sum(asked.values())
        return Plan(0, asked, seconds, memory, False, str(backbone.device), 0)

    @keeps_warnings
    def run(self) -> Steps[KnownStyles]:
        """What the model knows of every style."""
        backbone, asked_for = self.request.backbone, self.request.styles
        yield from self._doubts()
        started = time.monotonic()
        yield from explains.check_reading(backbone)
        pictures = yield from draw(backbone, self.contents, DRAWING)
        latents = backbone.encode_images(pictures)
        asked = _asked(asked_for, self.contents, MADE_UP)
        far = yield from known.distances(backbone, asked, latents, self.contents, self._room())
        judged, known_from, hardly_from = known.judge(far, asked_for.names, asked_for.phrases)
        return KnownStyles(
            judged,
            known_from,
            hardly_from,
            self.contents,
            {"name": backbone.name, "fingerprint": backbone.fingerprint},
            sum(self.evaluations.values()),
            time.monotonic() - started,
            __version__,
        )

    def _room(self) -> Room:
        most = 1 + len(self.request.styles.names) + len(MADE_UP)
        return rows.for_scoring(self.request.backbone, None, min(BATCH, most))

    def _doubts(self) -> Steps[None]:
        yield from about(self.request.backbone, self.request.styles)
        yield from markup.warnings(self.request.backbone, self.request.styles.phrases)


def check(
    backbone: Backbone, styles: DirectCounterfactuals, query: Query, room: Room
) -> Steps[int]:
    """Warns of styles that the model does not know; returns the UNet evaluations.

    A first look, coarser than the job above: at one high noise level, where a picture says little,
    the pictures to be attributed stand in for those of the contents.
    """
    chosen = [i % len(query) for i in range(LOOKS)]
    asked = _asked(styles, CONTENTS[:LOOKS], MADE_UP[:FEW])
    keys = [f"{query.keys[i]} {c}" for i, c in zip(chosen, asked.alone, strict=True)]
    far = yield from known.distances(backbone, asked, query.latents[chosen], keys, room, LEVEL)
    judged, *_ = known.judge(far, styles.names, styles.phrases, DOUBT)
    unknown = [s.style for s in judged if s.knowledge is Knowledge.UNKNOWN]
    if unknown:
        yield warn(unknown_text(backbone.name, unknown))
    return looks(len(styles.names))


def looks(styles: int) -> int:
    """The UNet evaluations of `check`."""
    return known.evaluations(LOOKS, styles, FEW, LEVEL)


def unknown_text(model: str, names: Sequence[str]) -> str:
    """The warning."""
    shown = ", ".join(f'"{name}"' for name in names[:8])
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (
        f"The model {model} does not seem to know {shown}{more} by name: the phrase moves its "
        "answers hardly further than a made-up name does, so a direct score may mean little for "
        "that style. Try other words for it (guda styles, or Styles the Model Knows in ComfyUI, "
        "tells which are known), look at a picture that the model draws in it, or unlearn it from "
        "pictures."
    )


def _asked(styles: DirectCounterfactuals, contents: Sequence[str], made_up: Sequence[str]) -> Asked:
    put = [in_styles(c, (*styles.phrases, *made_up), styles.template).in_styles for c in contents]
    k = len(styles.phrases)
    return Asked(tuple(contents), tuple(p[:k] for p in put), tuple(p[k:] for p in put))
