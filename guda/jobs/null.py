"""The job that makes or extends a null pool: its request, its price and its run.

Null pictures are drawn by the model without a style, or in general styles that are not tested and
that it knows; or they are a folder of the user's own. With them go pictures in the tested styles:
no null, but what tells how often a true picture gets a name, and what is unlike all of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ..budget import footprint, rows, warmup
from ..config import ElboConfig, SampleConfig
from ..counterfactuals.direct import DirectCounterfactuals
from ..diffusion import Backbone
from ..errors import ConfigError, CounterfactualError
from ..files import lock
from ..files.destination import check_folder
from ..groups import pictures, unrelated
from ..groups.contents import CONTENTS
from ..groups.draw import reported
from ..groups.unrelated import Unrelated
from ..scoring import conformal, explains
from ..scoring.differences import Differences
from ..scoring.known import Knowledge
from ..scoring.null import FOLDER, FORMS, GENERATED, REAL, NullPicture, NullPool
from ..scoring.pool_file import read_pool, rounded, write_pool
from ..steps import Step, Steps, keeps_warnings, warn
from . import basis, measuring, styles
from .attribute import AttributeRequest, AttributeWork
from .attribute import survey as survey_scores
from .basis import Without
from .plan import Plan
from .shapes import sizes
from .wanted import Asking, Wanted, drawn, elsewhere, read

SIZE = conformal.USUAL  # null pictures
CHUNK = 32  # pictures between two writes
FEWEST = 4
BYTES = 16  # of a number in the file, with what stands beside it


@dataclass(frozen=True)
class NullRequest:
    """Score `size` null pictures for each form of prompt into the file `out`.

    images: a folder of pictures that show none of the styles; without it the model draws them.
    like: pictures that do, to go with `images`. contents: what drawn pictures show. general: the
    general styles that the model is taken to know; without it the model is asked for them.
    """

    backbone: Backbone
    counterfactuals: Without
    out: Path
    size: int = SIZE
    forms: Sequence[str] = ("content",)
    images: Path | None = None
    like: Sequence[Unrelated] = ()
    contents: Sequence[str] = CONTENTS
    config: ElboConfig = field(default_factory=ElboConfig)
    sampling: SampleConfig = field(default_factory=SampleConfig)
    general: Sequence[str] | None = None

    @property
    def origin(self) -> str:
        return GENERATED if self.images is None else REAL

    @property
    def drawing(self) -> dict[str, object]:
        """The settings of the drawn pictures."""
        told = {k: getattr(self.sampling, k) for k in ("steps", "guidance", "seed")}
        return told if self.origin == GENERATED else {}


def null(request: NullRequest) -> Steps[NullPool]:
    """Survey and run: the pool, which lies in the file."""
    return (yield from survey(request).run())


def survey(request: NullRequest) -> NullWork:
    """What is to be done. Raises GudaError for everything that would be refused on the way."""
    if request.size < FEWEST:
        raise ConfigError(f"size is {request.size}; the least allowed is {FEWEST}.")
    for form in request.forms:
        if form not in FORMS:
            raise ConfigError(f"prompts is {form!r}; choose of: {', '.join(FORMS)}.")
    if request.config.schedule == "importance":
        raise ConfigError(
            "schedule is 'importance', which chooses other noise levels for every batch, so that "
            "no two batches could be compared; give log or uniform."
        )
    if request.origin == GENERATED and not request.backbone.conditional:
        raise CounterfactualError(
            f"The model {request.backbone.name!r} takes no prompts, so whatever it draws may be in "
            "any of the styles. Give a folder of pictures that show none of them (images)."
        )
    folder = () if request.images is None else tuple(unrelated.of_folder(request.images))
    for one in (*folder, *request.like):
        pictures.probe(one.path)
    check_folder(request.out.parent, "the null pool's folder")
    blank = torch.full((3, 64, 64), 0.5)
    asked = AttributeRequest(
        request.backbone, request.counterfactuals, [blank], ["blank"], [""], request.config
    )
    scoring = survey_scores(asked)  # tells whether the counterfactuals may be used at all
    return NullWork(request, _there(request), folder, scoring)


def _there(request: NullRequest) -> NullPool:
    """The pool in the file, an empty one without. Raises CounterfactualError on another's."""
    asked = (request.backbone, request.counterfactuals, request.config)
    if not request.out.exists():
        return NullPool(basis.of(*asked), request.origin, settings=request.drawing)
    pool = read_pool(request.out)
    now = basis.of(*asked, pool.basis.fingerprint)
    changed = pool.basis.against(now) or now.against(pool.basis)
    if pool.origin != request.origin:
        changed.append(f"kind of picture ({pool.origin} then, {request.origin} now)")
    if pool.settings != request.drawing:
        changed.append(f"way of drawing ({pool.settings} then, {request.drawing} now)")
    if changed:
        raise CounterfactualError(
            f"The null pool {request.out} was made with another {' and '.join(changed)}; give "
            "another file, or extend it as it was begun."
        )
    return pool


@dataclass(frozen=True)
class NullWork:
    """A pool that was surveyed: what of it is there, and what is still to be scored."""

    request: NullRequest
    pool: NullPool
    folder: Sequence[Unrelated]
    scoring: AttributeWork

    @keeps_warnings
    def price(self) -> Steps[Plan]:
        """What it will take, after a look at the model and a warm-up."""
        request, backbone = self.request, self.request.backbone
        wanted = self._wanted(self.pool.general or self._general())
        left = [self._left(self.pool, wanted, form) for form in request.forms]
        count, most = sum(map(len, left)), request.config.batch_size
        have = f"{len(self.pool.pictures)} pictures are scored already"
        if not count:
            return Plan(0, {}, 0.0, None, False, str(backbone.device), 0, f"all {have}")
        for form in request.forms:
            if text := too_few(request.size, form):
                yield warn(text)
        if text := self._of_others(self.pool, wanted):
            yield warn(text)
        checked = yield from explains.check_reading(backbone)
        yield Step("plan", 0, 1)
        lora = next(iter(self.scoring.loras.values()), None)
        room = rows.for_scoring(backbone, lora, min(most, count * self.scoring.evaluations))
        pace = warmup.scoring(backbone, lora, room)
        yield Step("plan", 1, 1)
        drawings = len({w.id for those in left for w in those if w.drawn})
        asked = {
            "check": checked,
            "pictures": 2 * request.sampling.steps * drawings,
            "styles": sum(self._known_work().evaluations.values()) if self._asks_first() else 0,
            "score": count * self.scoring.evaluations,
        }
        return Plan(
            0,
            asked,
            pace * sum(asked.values()),
            footprint.scoring(backbone, lora, room.rows),
            False,
            str(backbone.device),
            count * self.scoring.evaluations * BYTES,
            have if self.pool.pictures else "",
        )

    def run(self, measure: measuring.Measure = measuring.measure) -> Steps[NullPool]:
        """The pool. What is scored is on disk, however the run ends. measure: or another's."""
        request, pool = self.request, self.pool
        with (yield from lock.take(request.out.parent)):
            pool = _there(request)  # another run may have written to it while this one waited
            if self._asks_first():
                pool = dataclasses.replace(pool, general=(yield from self._known()))
            elif not pool.pictures and request.origin == GENERATED:
                pool = dataclasses.replace(pool, general=self._general())
            wanted = self._wanted(pool.general)
            total = sum(len(self._left(pool, wanted, form)) for form in request.forms)
            done = 0
            if text := self._of_others(pool, wanted):
                yield warn(text)
            yield Step("null", done, total)
            chunk = min(CHUNK, getattr(request.backbone, "rows", CHUNK))  # few of a slow model
            for start in range(0, len(wanted), chunk):
                part = wanted[start : start + chunk]
                left = {form: self._left(pool, part, form) for form in request.forms}
                shown = yield from self._shown(
                    [w for w in part if any(w in x for x in left.values())]
                )
                for form, those in left.items():
                    if those:
                        work = self._asked(those, shown, form)
                        _, gaps = yield from measure(work, not pool.pictures)
                        pool = _with(pool, those, form, gaps)
                        write_pool(pool, request.out)
                        done += len(those)
                        yield Step("null", done, total)
            for form in request.forms:
                if text := too_few(len(pool.null(form)), form):
                    yield warn(text)
        return pool

    def _asked(self, those: Sequence[Wanted], shown: dict[str, Tensor], form: str) -> AttributeWork:
        """The scoring of these pictures, asked with this form of prompt."""
        prompts = tuple(w.prompt(form) for w in those)
        names = [w.id for w in those]
        request = dataclasses.replace(
            self.scoring.request,
            pictures=[shown[name] for name in names],
            names=names,
            prompts=prompts,
        )
        return dataclasses.replace(self.scoring, request=request, prompts=prompts)

    def _shown(self, some: Sequence[Wanted]) -> Steps[dict[str, Tensor]]:
        """The pictures, drawn or read."""
        backbone, sampling = self.request.backbone, self.request.sampling
        size = sizes(backbone, self.scoring.config)
        shown = {w.id: pictures.load(w.path, size) for w in some if w.path}
        to_draw = [w for w in some if w.drawn]
        for start in range(0, len(to_draw), sampling.batch_size):
            part = to_draw[start : start + sampling.batch_size]
            texts, keys = [w.drawn for w in part], [w.id for w in part]
            sampled = yield from reported(
                backbone.sample(texts, keys, sampling),
                lambda done: Step("pictures", done, sampling.steps),
            )
            shown |= dict(zip(keys, sampled, strict=True))
        return shown

    def _wanted(self, general: Sequence[str]) -> list[Wanted]:
        if self.request.images is not None:
            return self._read
        return drawn(self._tested, self.request.contents, general, self.request.size)

    @cached_property
    def _read(self) -> list[Wanted]:
        """Those of a folder; once, as their names hold what is in the files."""
        return read(self._tested, self.folder, self.request.like, self.request.size)

    @property
    def _tested(self) -> Asking:
        without = self.request.counterfactuals
        return Asking(basis.phrases(without), basis.template_of(without))

    def _left(self, pool: NullPool, wanted: Sequence[Wanted], form: str) -> list[Wanted]:
        have = {p.id for p in pool.pictures if p.form == form}
        return [w for w in wanted if w.id not in have]

    def _of_others(self, pool: NullPool, wanted: Sequence[Wanted]) -> str:
        """The warning of pictures that are there, but of another folder, or drawn to show something
        else."""
        if self.request.images is not None:
            return self._of_other_folders(pool)
        asked = {(w.id, form): w.prompt(form) for w in wanted for form in self.request.forms}
        count = sum(p.prompt != asked.get((p.id, p.form), p.prompt) for p in pool.pictures)
        if not count:
            return ""
        return (
            f"{count} pictures of the null pool {self.request.out} show other contents than those "
            "given now, and are kept as they are. To have these, delete the file and run again."
        )

    def _of_other_folders(self, pool: NullPool) -> str:
        known = {w.id for w in self._read}
        there = {p.id for p in pool.pictures if p.source == FOLDER}
        count = len(elsewhere(there - known, self.folder))
        if not count:
            return ""
        return (
            f"The null pool {self.request.out} holds pictures that are not in "
            f"{self.request.images}, or not as they were ({count}), and they count as well. To be "
            "held against this folder alone, delete the file and run again."
        )

    def _general(self) -> tuple[str, ...]:
        if self.request.general is not None:
            return tuple(self.request.general)
        return unrelated.general(basis.phrases(self.request.counterfactuals))

    def _asks_first(self) -> bool:
        """Whether the model is to be asked which general styles it knows."""
        request = self.request
        return request.origin == GENERATED and not self.pool.pictures and request.general is None

    def _known_work(self) -> styles.StylesWork:
        asked = DirectCounterfactuals.named({phrase: phrase for phrase in self._general()})
        return styles.survey(styles.StylesRequest(self.request.backbone, asked))

    def _known(self) -> Steps[tuple[str, ...]]:
        """The general styles that the model knows by name."""
        told = yield from self._known_work().run()
        known = told.named(Knowledge.KNOWN)
        return known if len(known) >= FEWEST else ()  # one or two would be half of the pool


def _with(pool: NullPool, those: Sequence[Wanted], form: str, gaps: Differences) -> NullPool:
    """The pool with these pictures, which were asked with this form of prompt."""
    prompts = [w.prompt(form) for w in those]
    rows = zip(those, prompts, gaps.elbo.tolist(), gaps.contributions, gaps.full, strict=True)
    made = [
        rounded(NullPicture(w.id, w.source, w.style, prompt, form, elbo, contributions, full))
        for w, prompt, elbo, contributions, full in rows
    ]
    t = tuple(gaps.points.t.tolist())
    return dataclasses.replace(pool, pictures=(*pool.pictures, *made), t=t)


def too_few(pictures: int, form: str) -> str:
    """The warning of a pool that cannot carry a verdict, or hardly; empty where it can."""
    least, rank = conformal.smallest_pool(), conformal.largest_rank(pictures)
    if pictures >= SIZE:
        return ""
    have = f"The null pool has {pictures} pictures that were asked {FORMS[form]}"
    if not rank:
        return (
            f"{have}; below {least} no verdict can hold false names to 5 % with 90 % confidence. "
            "Make it larger (size)."
        )
    place = "all of them" if rank == 1 else f"all but {rank - 1}"
    return (
        f"{have}, so a picture gets a name only beyond {place}, and few do. Of {SIZE} it is beyond "
        f"all but {conformal.largest_rank(SIZE) - 1}: make the pool larger (size); what is there "
        "is kept."
    )
