"""The job that attributes: its typed request, what is to be done, its price and its run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..budget import footprint, rows, warmup
from ..config import DIRECT_EVALUATIONS, EVALUATIONS, ElboConfig
from ..counterfactuals import CounterfactualSet
from ..counterfactuals.direct import DirectCounterfactuals
from ..diffusion import Backbone, Conditioning, LoraWeights
from ..diffusion.noise import picture_key
from ..errors import CounterfactualError, ImageError
from ..files.destination import check_text
from ..groups import prompts as markup
from ..groups.pictures import check_tensor, fit
from ..scoring import allocation, explains
from ..scoring.differences import Differences
from ..scoring.elbo import Query
from ..scoring.null import NullPool
from ..scoring.spread import SeedSpread
from ..scoring.verdict import Attribution
from ..steps import Step, Steps, about, keeps_warnings, warn
from . import against, basis, kept, measuring, nothing, shapes, styles
from .assembled import assembled
from .plan import Plan
from .told import told

REPORT_BYTES = 3 << 20  # of a report, per picture; about


@dataclass(frozen=True)
class AttributeRequest:
    """Score pictures (a list of (3, H, W) tensors in [0, 1]) against the models without each style.

    counterfactuals: a set that was unlearned, or styles for which the model itself answers.
    latents: (n, c, h, w), scaled as the UNet expects them, scored in place of the pictures, which
    then need not be given: they are only shown.
    null: pictures that have nothing to do with the styles, from which verdicts get their p-values;
    null_file: where it lies, for the report.
    one_source: whether the pictures are of one source, and asked together, too.
    credit: whether scores come with a column of credit.
    conditions: the prompts encoded elsewhere, a row per picture; `prompts` then only name them.
    kept: folder of what earlier runs asked, see `jobs.kept`; None asks the model every time.
    seeds: whether the intervals include what another seed of the unlearning would change.
    """

    backbone: Backbone
    counterfactuals: CounterfactualSet | DirectCounterfactuals
    pictures: Sequence[Tensor]
    names: Sequence[str]
    prompts: Sequence[str]
    config: ElboConfig = field(default_factory=ElboConfig)
    latents: Tensor | None = None
    null: NullPool | None = None
    null_file: str = ""
    one_source: bool = False
    credit: bool = False
    conditions: Conditioning | None = None
    kept: Path | None = None
    seeds: bool = True

    @property
    def spread(self) -> SeedSpread | None:
        """What of the intervals is the unlearning's; None for direct answers: they have no seed."""
        without = self.counterfactuals
        direct = isinstance(without, DirectCounterfactuals)
        return None if direct or not self.seeds else without.seed_spread


def attribute(request: AttributeRequest) -> Steps[Attribution]:
    """Survey and run: the scores of every picture."""
    return (yield from survey(request).run())


def survey(request: AttributeRequest) -> AttributeWork:
    """What is to be done. Raises GudaError for everything that would be refused on the way."""
    latents = request.latents
    count = len(request.pictures) if latents is None else len(latents)
    if not count:
        raise ImageError("No picture was given; give at least one.")
    prompts = tuple(request.prompts) * (count if len(request.prompts) == 1 else 1)
    if len(prompts) != count:
        raise ImageError(
            f"{len(prompts)} prompts were given for {count} pictures; give one "
            "prompt for all, or one per picture."
        )
    if len(request.names) != count:
        raise ImageError(
            f"{len(request.names)} names were given for {count} pictures; give one per picture."
        )
    if request.conditions is not None and len(request.conditions) != count:
        raise ImageError(
            f"{len(request.conditions)} conditionings were given for {count} pictures; give one "
            "per picture."
        )
    for name, prompt in zip(request.names, prompts, strict=True):
        check_text(name, "the picture's name")
        check_text(prompt, f"the prompt of {name}")
    for picture in request.pictures if request.latents is None else ():
        check_tensor(picture)
    loras = _loras(request.counterfactuals, request.backbone)
    if request.null is not None:
        now = basis.of(
            request.backbone,
            request.counterfactuals,
            request.config,
            request.null.basis.fingerprint,
        )
        against.check(request.null, request.null_file, now)
        against.check_question(request, prompts)
    return AttributeWork(request, prompts, loras)


def _loras(
    without: CounterfactualSet | DirectCounterfactuals, backbone: Backbone
) -> dict[str, LoraWeights]:
    """By style; none for direct counterfactuals. Raises CounterfactualError on what is unfit."""
    if isinstance(without, DirectCounterfactuals):
        without.verify(backbone)
        return {}
    if not without.entries:
        raise CounterfactualError(
            f"The counterfactual set {without.folder} holds no style; unlearn some first."
        )
    without.verify(backbone)
    return {e.name: without.load(e, backbone) for e in without.entries}


@dataclass(frozen=True)
class AttributeWork:
    """An attribution that was surveyed: nothing is wrong with it, and all of it is to be done."""

    request: AttributeRequest
    prompts: tuple[str, ...]  # one per picture
    loras: Mapping[str, LoraWeights]  # by style; none where the model itself answers
    look: explains.Look = field(default_factory=explains.Look)

    def __len__(self) -> int:
        """Pictures."""
        return len(self.prompts)

    @property
    def config(self) -> ElboConfig:
        """The request's, with the number of evaluations that suits the counterfactuals."""
        return self.request.config.filled(EVALUATIONS if self.loras else DIRECT_EVALUATIONS)

    @property
    def evaluations(self) -> int:
        """Noisy pictures through the UNet, but for the look at the model."""
        points = allocation.evaluations(self.config, self.request.backbone.schedule.length)
        return len(self) * points * (len(self.request.counterfactuals.names) + 1)

    @keeps_warnings
    def price(self) -> Steps[Plan]:
        """What it will take, after a look at the model and a warm-up."""
        backbone, config = self.request.backbone, self.config
        yield from self._doubts()
        some, (_, shape) = measuring.chosen(self), measuring.first(self)
        checked = yield from explains.check(backbone, lambda: self.query(some)[0], self.look)
        yield Step("plan", 0, 2)
        encoding = warmup.picture(backbone)
        yield Step("plan", 1, 2)
        lora = next(iter(self.loras.values()), None)
        # A point asks for the answers to K + 1 prompts at once where the model itself answers.
        at_once = 1 if self.loras else len(self.request.counterfactuals.names) + 1
        most = min(config.batch_size, len(self) * config.evaluations * at_once)
        room = rows.for_scoring(backbone, lora, most, shape)
        forward = warmup.scoring(backbone, lora, room, shape)
        memory = footprint.scoring(backbone, lora, room.rows, shape)
        yield Step("plan", 2, 2)
        asked = {"check": checked, "styles": self._looks(), "score": self.evaluations}
        return Plan(
            0,
            asked,
            forward * sum(asked.values()) + encoding * len(self),
            memory,
            False,
            str(backbone.device),
            len(self) * REPORT_BYTES,
        )

    @keeps_warnings
    def run(
        self, look: bool = True, measure: measuring.Measure = kept.measured
    ) -> Steps[Attribution]:
        """The scores of every picture. look: as `measure` has it, which may be another's."""
        yield from self._doubts()
        started = time.monotonic()
        shown, gaps = yield from measure(self, look)
        answer = assembled(self, shown, gaps, time.monotonic() - started)
        return (yield from told(answer, gaps, self.request, self.prompts))

    def measure(self, look: bool = True) -> Steps[tuple[measuring.Shown, Differences]]:
        """See `measuring.measure`."""
        return (yield from kept.measured(self, look))

    def _looks(self) -> int:
        """Evaluations that tell whether the model knows the styles, where it answers itself."""
        return 0 if self.loras else styles.looks(len(self.request.counterfactuals.names))

    def _doubts(self) -> Steps[None]:
        yield from about(self.request.backbone, self.request.counterfactuals)
        for text in getattr(self.request.counterfactuals, "doubts", ()):
            yield warn(text)
        yield from markup.warnings(self.request.backbone, self.prompts)
        for text in nothing.doubts(self.request, self.config):
            yield warn(text)

    def query(self, chosen: Sequence[int]) -> tuple[Query, Tensor]:
        """The chosen pictures, of one shape, encoded, and as they are shown (n, 3, H, W)."""
        request, backbone = self.request, self.request.backbone
        if request.conditions is None:
            condition = backbone.encode_prompts([self.prompts[i] for i in chosen])
        else:
            condition = request.conditions.take(list(chosen))
        if request.latents is None:
            size = shapes.sizes(backbone, self.config)
            given = [request.pictures[i] for i in chosen]
            shown = torch.stack([fit(p, size(*p.shape[-2:]), checked=True) for p in given])
            keys = tuple(map(picture_key, shown))
            return Query(backbone.encode_images(shown), condition, keys), shown
        latents = request.latents[list(chosen)]
        query = Query(latents, condition, tuple(map(picture_key, latents)))
        return query, _shown(request.pictures, backbone.decode(latents))


def _shown(pictures: Sequence[Tensor], decoded: Tensor) -> Tensor:
    """The pictures that were given beside their latents, if they are of the same size."""
    same = [p for p in pictures if p.shape == decoded.shape[1:]]
    return torch.stack(same) if len(same) == len(decoded) else decoded
