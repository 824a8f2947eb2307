"""The job that checks a model once, from end to end: its request, its price and its run.

Pictures in two styles are drawn and the model's error on them is measured; the styles are
unlearned with the defaults; new pictures are asked about with the LoRAs and directly.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ..config import (
    DIRECT_EVALUATIONS,
    EVALUATIONS,
    ElboConfig,
    MemoryConfig,
    SampleConfig,
    UnlearnConfig,
)
from ..counterfactuals import CounterfactualSet
from ..counterfactuals.direct import DirectCounterfactuals
from ..diffusion import Backbone
from ..diffusion.room import Room
from ..errors import CounterfactualError, GroupsError
from ..groups import StyleGroups
from ..groups.draw import draw, generate_pictures
from ..groups.encode import encode_groups
from ..groups.in_styles import template_of
from ..groups.phrases import CONTENT, STYLE
from ..scoring import allocation
from ..scoring.verdict import Attribution
from ..steps import Steps, keeps_warnings, warn
from ..unlearning.held import MOST, Held
from ..unlearning.progress import BANDS
from . import styles
from .after import After
from .attribute import AttributeRequest, attribute
from .checked import Checked, Clock, Question, peak_memory, used_by
from .plan import Plan, asked
from .unlearn import UnlearnRequest, UnlearnWork
from .unlearn import survey as survey_unlearning


@dataclass(frozen=True)
class CheckRequest:
    """Check the model with prompt-only groups, and with questions about other contents.

    config: None for what suits the model. Everything goes into the folder `out`.
    """

    backbone: Backbone
    groups: StyleGroups
    contents: Sequence[str]
    out: Path
    config: UnlearnConfig | None = None
    sampling: SampleConfig = field(default_factory=SampleConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    recovery: bool = False  # whether it is measured; see `unlearning.recovery`


def check(request: CheckRequest) -> Steps[Checked]:
    """Survey and run: everything that was measured."""
    return (yield from survey(request).run())


def survey(request: CheckRequest) -> CheckWork:
    """What is to be done. Raises GudaError for everything that would be refused on the way."""
    DirectCounterfactuals.of(request.groups).verify(request.backbone)
    if not request.contents:
        raise GroupsError("there is nothing to ask about; give one content at least.")
    return CheckWork(request, survey_unlearning(_unlearning(request)))


def _unlearning(request: CheckRequest) -> UnlearnRequest:
    return UnlearnRequest(
        request.backbone,
        request.groups,
        request.out / "counterfactuals",
        request.config,
        None,
        request.sampling,
        request.out / "pictures",
        request.memory,
    )


@dataclass(frozen=True)
class CheckWork:
    """A check that was surveyed: nothing is wrong with it."""

    request: CheckRequest
    unlearning: UnlearnWork

    @property
    def after(self) -> After:
        return After(self.request.recovery)

    @property
    def asked(self) -> tuple[Question, ...]:
        """Every content in every style."""
        template = template_of(self.request.groups)
        return tuple(
            Question(template.replace(CONTENT, c).replace(STYLE, g.style), c, g.name)
            for c in self.request.contents
            for g in self.request.groups
        )

    @keeps_warnings
    def price(self) -> Steps[Plan]:
        """That of unlearning, with the evaluations of the rest."""
        plan = yield from self.after.priced(self.unlearning)
        request, k, n = self.request, len(self.request.groups), len(self.asked)
        length = request.backbone.schedule.length
        points = sum(
            allocation.evaluations(ElboConfig(evaluations=e), length)
            for e in (EVALUATIONS, DIRECT_EVALUATIONS)
        )
        more = {
            "questions": n * request.sampling.steps * 2,
            "styles": styles.looks(k),
            "score": n * points * (k + 1),
        }
        return (yield from asked(plan, request.backbone, more))

    @keeps_warnings
    def run(self) -> Steps[Checked]:
        """Everything, one after the other. What failed is told in the result."""
        request, clock = self.request, Clock()
        backbone, recipe = request.backbone, self.unlearning.request.recipe
        groups = yield from clock(
            generate_pictures(backbone, request.groups, request.sampling, request.out / "pictures")
        )
        errors = yield from clock(_errors(backbone, groups, recipe))
        made = yield from clock(self.unlearning.run())
        made = yield from clock(self.after.of(self.unlearning, made))
        asked = self.asked
        sampling = request.sampling.replace(seed=request.sampling.seed + 1)
        drawn = yield from clock(draw(backbone, [q.prompt for q in asked], sampling))
        direct = DirectCounterfactuals.of(request.groups)
        loras = yield from clock(_ask(backbone, made, drawn, asked))
        directly = yield from clock(_ask(backbone, direct, drawn, asked))
        return Checked(
            model=_model(backbone),
            machine=_machine(backbone),
            recipe=recipe.as_dict(),
            errors=errors,
            entries=made.entries,
            questions=tuple(
                replace(q, loras=_deltas(loras, i), direct=_deltas(directly, i))
                for i, q in enumerate(asked)
            ),
            seconds=clock.seconds,
            memory=peak_memory(backbone.device),
        )


def _errors(
    backbone: Backbone, groups: StyleGroups, recipe: UnlearnConfig
) -> Steps[dict[str, float]]:
    """||eps - eps_hat||^2 / ||eps||^2 on held-out pictures, by band of noise levels."""
    encoded = yield from encode_groups(backbone, groups, recipe.heldout)
    held = Held.of(backbone, encoded, list(encoded), recipe.seed)
    answers = held.answers(backbone, held.named, Room(MOST, backbone.device))
    wrong = held.distance(held.eps, answers).sum(0)
    whole = held.distance(held.eps, torch.zeros_like(held.eps)).sum(0)
    return {k: float(wrong[a:b].sum() / whole[a:b].sum()) for k, (a, b) in BANDS.items()}


def _ask(
    backbone: Backbone,
    without: CounterfactualSet | DirectCounterfactuals,
    drawn: Tensor,
    asked: Sequence[Question],
) -> Steps[Attribution | None]:
    """With the content alone as the prompt; None, with a warning, where that is refused."""
    names, contents = [q.prompt for q in asked], [q.content for q in asked]
    try:
        request = AttributeRequest(backbone, without, list(drawn), names, contents)
        return (yield from attribute(request))
    except CounterfactualError as error:
        how = "directly" if isinstance(without, DirectCounterfactuals) else "with the LoRAs"
        yield warn(f"Nothing could be asked {how}: {error}")
        return None


def _deltas(answer: Attribution | None, i: int) -> dict[str, float] | None:
    return answer and {s.group: s.delta for s in answer.images[i].scores}


def _model(backbone: Backbone) -> dict[str, object]:
    weights = next(iter(backbone.unet.parameters()))
    return {
        "name": backbone.name,
        "identity": dict(backbone.identity),
        "resolution": backbone.resolution,
        "latent_shape": list(backbone.latent_shape),
        "unet_weights": sum(p.numel() for p in backbone.unet.parameters()),
        "dtype": str(weights.dtype).removeprefix("torch."),
        "warnings": list(backbone.warnings),
    }


def _machine(backbone: Backbone) -> dict[str, str]:
    return {
        "device": used_by(backbone.device),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
