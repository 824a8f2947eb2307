"""The job that unlearns: its typed request, what is left of it, its price and its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..budget import footprint, rows, warmup
from ..config import MemoryConfig, SampleConfig, UnlearnConfig
from ..counterfactuals import CounterfactualSet, Left, SetWork, make
from ..counterfactuals.held import existing
from ..counterfactuals.load import put_right
from ..diffusion import Backbone
from ..files.destination import check_folder
from ..groups import StyleGroups, prompts
from ..groups.draw import generate_pictures, missing, with_pictures
from ..scoring import explains
from ..steps import Step, Steps, about, keeps_warnings, warn
from ..unlearning import rates
from ..unlearning.recipe import recommended
from .counted import Counted
from .plan import Plan

MOST_CHECKED = explains.MOST * len(explains.LEVELS)


@dataclass(frozen=True)
class UnlearnRequest:
    """Unlearn the groups (or those in `names`) from the model into the folder `out`.

    Groups without pictures get theirs from the model first, kept in `cache`.
    config: None for what suits the model (`recipe.recommended`).
    """

    backbone: Backbone
    groups: StyleGroups
    out: Path
    config: UnlearnConfig | None = None
    names: Sequence[str] | None = None
    sampling: SampleConfig = field(default_factory=SampleConfig)
    cache: Path | None = None
    memory: MemoryConfig = field(default_factory=MemoryConfig)

    @property
    def recipe(self) -> UnlearnConfig:
        return self.config or recommended(self.backbone)

    @property
    def drawn(self) -> Path:
        """Where the pictures of prompt-only groups are kept."""
        return self.cache or self.out / "pictures"


def unlearn(request: UnlearnRequest) -> Steps[CounterfactualSet]:
    """Survey and run: counterfactuals for every group; resumable."""
    return (yield from survey(request).run())


def survey(request: UnlearnRequest) -> UnlearnWork:
    """What is left to do. Raises GudaError for everything that would be refused on the way."""
    backbone, groups, undrawn = request.backbone, request.groups, 0
    if any(e.path is None for g in groups for e in g.examples):
        kept = (backbone, groups, request.sampling, request.drawn)
        if undrawn := missing(*kept):
            check_folder(request.drawn, "the folder of the generated pictures")
        else:
            groups = with_pictures(*kept)
    work = make.survey(backbone, groups, request.recipe, request.out, request.names, request.memory)
    return UnlearnWork(request, work, undrawn)


@dataclass(frozen=True)
class UnlearnWork:
    """An unlearning that was surveyed: nothing is wrong with it, and this is left to do."""

    request: UnlearnRequest
    making: SetWork  # while pictures are missing, of the groups as they are now
    undrawn: int  # pictures
    look: explains.Look = field(default_factory=explains.Look)  # before they are drawn

    @property
    def groups(self) -> StyleGroups:
        return self.making.groups

    @property
    def left(self) -> tuple[Left, ...]:
        """Groups to unlearn, with the steps done; new pictures make every one anew."""
        if self.undrawn:
            return tuple(Left(group, 0) for group in self.making.chosen)
        return self.making.left

    @property
    def steps(self) -> int:
        """Optimizer steps, at most where unlearning ends by itself."""
        return self.trial_steps + sum(
            self.request.recipe.total_steps - done for _, done in self.left
        )

    @property
    def trial_steps(self) -> int:
        """Those at most by which the learning rate is found."""
        return rates.steps(self.making.config) * self.trials

    @property
    def trials(self) -> int:
        """Rates at most that are still to be tried."""
        making = self.making
        if making.config.lr_probe == "never" or not self.left:
            return 0
        return rates.MOST - len(making.trials)

    @property
    def reused(self) -> str:
        """What is there already, in words."""
        chosen, pictures = len(self.making.chosen), sum(len(g.examples) for g in self.groups)
        finished, begun = chosen - len(self.left), sum(1 for _, done in self.left if done)
        parts = []
        if finished:
            parts.append(f"{finished} of {chosen} styles are finished already")
        if begun:
            done = sum(done for _, done in self.left)
            parts.append(f"{done} steps of {begun} style(s) are done already")
        if 0 < self.undrawn < pictures:
            parts.append(f"{pictures - self.undrawn} of {pictures} pictures are drawn already")
        return ", ".join(parts)

    @keeps_warnings
    def price(self) -> Steps[Plan]:
        """What it will take, after a look at the model and a warm-up."""
        request, backbone, groups = self.request, self.request.backbone, self.groups
        config, device = request.recipe, str(backbone.device)
        yield from put_right(existing(self.making.folder, backbone), write=False)
        yield from self._unused()
        yield from about(backbone, request.groups)
        yield from prompts.warnings(backbone, prompts.of_groups(groups))
        if not self.left:
            return Plan(0, {}, 0.0, None, False, device, 0, self.reused)
        if self.undrawn:  # what is drawn will be looked at as well
            checked = MOST_CHECKED + (yield from explains.check_reading(backbone, self.look))
        else:
            checked = yield from self.making.look_at_model()
        yield Step("plan", 0, 3)
        encoding = warmup.picture(backbone)
        yield Step("plan", 1, 3)
        room = rows.for_training(backbone, config, request.memory)
        yield Step("plan", 2, 3)
        forward, both = warmup.training(backbone, config, room)
        memory = footprint.training(backbone, config, room.rows, checkpointing=room.recompute)
        yield Step("plan", 3, 3)
        counted = Counted(self)
        counts = counted.evaluations
        trained = self.steps * (config.batch_size + config.retain_batch_size)
        beside = self.steps * counted.per_step - trained
        seconds = (
            forward / counted.share * (checked + sum(counts.values()) - trained - beside)
            + forward * beside
            + both * trained
            + encoding * (sum(len(g.examples) for g in groups) + 2 * self.undrawn)
        )
        file = memory.lora // 2 + (64 << 10)  # a LoRA, whose state takes three or four of it
        states = 2 * (3 + (config.stop == "auto"))
        return Plan(
            self.steps,
            {"pictures": counts.pop("pictures"), "check": checked, **counts},
            seconds,
            memory,
            room.recompute,
            device,
            (len(self.left) + states) * config.repeats * file
            + self.undrawn * 3 * backbone.resolution**2,
            self.reused,
            at_most=config.stop == "auto" or self.trials > 0,
            per_style=counted.per_style,
        )

    def run(self) -> Steps[CounterfactualSet]:
        """Draw what is missing, unlearn what is left."""
        making = yield from self.drawn()
        return (yield from making.run())

    def _unused(self) -> Steps[None]:
        """Says what of the recipe has no effect on what is left."""
        config = self.request.recipe
        if self.left and config.start == "text" and not config.text_rank:
            yield warn(
                "start is text, but the LoRA begins at nothing, as with zero: it takes an operator "
                f"that redirects to anchors (it is {config.operator}), a LoRA (modules is "
                f"{config.modules}) of rank 2 or more (it is {config.rank}). Change these, or give "
                "start zero."
            )

    def drawn(self) -> Steps[SetWork]:
        """Draw what is missing and find the learning rate; what is left of the set then."""
        request, making = self.request, self.making
        yield from self._unused()
        if any(e.path is None for g in request.groups for e in g.examples):
            if self.undrawn:
                yield from explains.check_reading(request.backbone, self.look)
            groups = yield from generate_pictures(
                request.backbone, request.groups, request.sampling, request.drawn
            )
            if self.undrawn:
                making = make.survey(
                    request.backbone,
                    groups,
                    request.recipe,
                    request.out,
                    request.names,
                    request.memory,
                )
        return (yield from making.rated())
