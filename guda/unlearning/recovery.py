"""Recovery: how soon four of its pictures bring a style back into the model without it.

e_s      error on held-out pictures of the style, the levels weighed as the ELBO weighs them, after
         s steps of fine-tuning the model without the style on four others
back     the first s with e_0 - e_s >= (e_0 - e_full) / 4: a quarter of what unlearning added
control  the same of the pictures in a look that was never there, with their own e_0 and e_s

The look has the colours of a picture each moved on by one channel, and the picture upside down. It
is the same pictures under an isometry, so that a model that knew the look would err on it by e_full
as well: what differs is what the model has seen. All else is the same, prompts and noise too. A
style that is back in a tenth of the control's steps was hidden, not forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..config import UnlearnConfig
from ..diffusion import Backbone, LoraWeights, recomputing
from ..diffusion.noise import generator
from ..diffusion.room import Room
from ..errors import DivergedError
from ..files.reading import field, number, shown
from ..groups.encode import EncodedGroup, PromptTable
from ..steps import Step, Steps
from . import probe, resume
from .batches import Batch, timesteps
from .gradient import LossScale, Student, learn
from .held import Held
from .progress import LEVELS
from .stopping import Mark

PICTURES, HELD = 4, 8
"""Trained on, and held out."""
LIMIT = 100
"""Steps at most."""
RATE = 0.1
"""Of the learning rate that suits unlearning the model: small, as four pictures soon say more of
themselves than of their style, and held-out ones get worse."""
BACK = 0.25
"""Of the error above the full model's. A model that was trained again without the style gets a
little more than that from four pictures, and never half; see docs/benchmarks.md."""
HIDDEN = 10
"""Times as many steps that the control needs at least, where a style was hidden."""
WIDER = 5 / 4
"""How much further on each next look is."""

STAGE = "recover"


def turned(pictures: Tensor) -> Tensor:
    """(n, 3, H, W) in a look that no model has seen."""
    return pictures[:, [1, 2, 0]].flip(-2)


@dataclass(frozen=True)
class Recovery:
    """Steps, between looks by interpolation; None: not within those that were taken."""

    back: float | None
    control: float | None
    limit: int  # steps taken at most for the style
    taken: int  # for the control, as `HIDDEN` times `back` are enough

    @property
    def hidden(self) -> bool:
        """Whether the style is back in a tenth of the control's steps, or was never gone."""
        if self.back is None:
            return False
        return self.back * HIDDEN <= (self.taken if self.control is None else self.control)

    def __str__(self) -> str:
        if self.back == 0:
            return "nothing of it to bring back"
        if self.back is None:
            return f"not a quarter back after {self.limit} steps on {PICTURES} pictures"
        few, many = (None if x is None else math.ceil(x) for x in (self.back, self.control))
        control = f"more than {self.taken}" if many is None else str(many)
        told = f"a quarter back after {few} step{'s' * (few != 1)} on {PICTURES} pictures"
        told += f", where a look that was never there takes {control}"
        return f"{told}, so it was hidden rather than forgotten" if self.hidden else told

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"hidden": self.hidden}

    @classmethod
    def read(cls, told: Any) -> Recovery | None:
        """What `as_dict` gave, or None. Raises ValueError."""
        if told is None:
            return None
        if not isinstance(told, dict):
            raise ValueError(f"recovery is {shown(told, 40)}, no object")
        seen = (told.get(k) for k in ("back", "control"))
        back, control = (None if x is None else number(x, "a recovery's steps") for x in seen)
        limit, taken = (int(number(field(told, k, object), k)) for k in ("limit", "taken"))
        return cls(back, control, limit, taken)


def looks(limit: int) -> list[int]:
    """The steps after which a look is taken."""
    steps, at = [], 1.0
    while round(at) < limit:
        steps += [round(at)] if round(at) not in steps else []
        at *= WIDER
    return [*steps, limit]


def evaluations(config: UnlearnConfig, limit: int) -> int:
    """Pictures through the UNet at most, for a style and its control."""
    look = HELD * len(LEVELS)
    return 3 * look + trained(config, limit) + 2 * (1 + len(looks(limit))) * look


def trained(config: UnlearnConfig, limit: int) -> int:
    """Those of them at most that have a backward pass."""
    return 2 * limit * (config.batch_size + config.retain_batch_size)


def first(curve: Mapping[int, float], fall: float) -> float | None:
    """The step at which the curve has fallen by so much, between its points by interpolation."""
    before, start = 0, curve[0]
    for step in sorted(curve):
        if curve[step] <= start - fall:
            high, low = curve[before], curve[step]
            share = (high - (start - fall)) / (high - low) if high > low else 0.0
            return round(before + share * (step - before), 3)
        before = step
    return None


class _Relearner(Student):
    """Trained to tell the noise, as the full model was."""

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return batch.losses(self.backbone.predict_eps, batch.eps)


@dataclass(frozen=True)
class Relearning:
    """What is learned again, and how: `config` is what suits the model."""

    backbone: Backbone
    config: UnlearnConfig
    room: Room
    limit: int

    def recover(
        self,
        lora: LoraWeights,
        style: EncodedGroup,
        look: EncodedGroup,
        place: resume.Place | None = None,
    ) -> Steps[Recovery]:
        """Of the model with `lora` on it; look: the style's pictures as `turned`.

        The model is as it was afterwards. place: where the state is kept, of the control as of
        another repetition.
        """
        yield Step(STAGE, 0, 2 * self.limit, style.group.name)
        full = self.error(style)
        with self.backbone.counterfactual(lora):
            return (yield from self.bring_back(full, style, look, place))

    def bring_back(
        self,
        full: float,
        style: EncodedGroup,
        look: EncodedGroup,
        place: resume.Place | None = None,
    ) -> Steps[Recovery]:
        """The same of the model as it is; full: what the full model's `error` is."""
        name, most = style.group.name, 2 * self.limit
        fall, far = ((self.error(some) - full) * BACK for some in (style, look))
        if not fall > 0:
            yield Step(STAGE, most, most, name)
            return Recovery(0.0, None, self.limit, 0)
        told = (self.limit, 0, place)
        back = first((yield from self._curve(style, fall, *told)), fall)
        taken = self.limit if back is None else min(self.limit, math.ceil(HIDDEN * back))
        told = (taken, self.limit, place and place.of_repetition(1))
        control = first((yield from self._curve(look, far, *told)), far)
        yield Step(STAGE, most, most, name)
        return Recovery(back, control, self.limit, taken)

    def error(self, some: EncodedGroup) -> float:
        """On its held-out pictures."""
        return self._error(self._held(some))

    def _held(self, some: EncodedGroup) -> Held:
        name = some.group.name
        return Held.of(self.backbone, {name: some}, [name], self.config.seed, HELD)

    @torch.no_grad()
    def _error(self, held: Held) -> float:
        answers = held.answers(self.backbone, held.named, self.room)
        return float(held.distance(held.eps, answers).mean(0) @ probe.weights(self.backbone))

    def _curve(
        self,
        some: EncodedGroup,
        fall: float,
        limit: int,
        before: int,
        place: resume.Place | None,
    ) -> Steps[dict[int, float]]:
        """Step -> error on held-out pictures, until it has fallen by so much; after `before` steps
        of another."""
        backbone, config, held = self.backbone, self.config, self._held(some)
        name, scale = some.group.name, LossScale(next(iter(self.backbone.unet.parameters())).dtype)
        with ExitStack() as stack:
            lora = stack.enter_context(
                backbone.training_lora(
                    modules=config.modules, rank=config.rank, alpha=config.lora_alpha, seed=0
                )
            )
            if self.room.recompute:
                stack.enter_context(recomputing(backbone.unet))
            student, parameters = _Relearner(backbone, lora, config), lora.parameters()
            optimizer = torch.optim.AdamW(
                student.parameters, lr=RATE * config.lr, weight_decay=config.weight_decay
            )
            losses, marks = resume.Past([], [])
            if place is not None:
                losses, marks = resume.restore(place.path, place.key, parameters, optimizer)
            curve = {m.step: m.achieved for m in marks if m.achieved is not None}
            curve = curve or {0: self._error(held)}
            prompts = PromptTable(backbone, [e.prompt(some.group.style) for e in some.train])
            for step in range(len(losses), limit):
                if first(curve, fall) is not None:
                    break
                loss, _ = learn(student, self._batch(some, prompts, step), self.room, scale, stack)
                torch.nn.utils.clip_grad_norm_(student.parameters, config.clip_norm)
                optimizer.step()
                optimizer.zero_grad()
                losses.append((step, loss, 0.0))
                if step + 1 in looks(limit):
                    curve[step + 1] = self._error(held)
                if not math.isfinite(loss + curve[max(curve)]):
                    raise DivergedError(f"Bringing {name!r} back broke down at step {step + 1}.")
                if place is not None and (step + 1) % config.checkpoint_every == 0:
                    marks = [Mark(s, e, None) for s, e in curve.items()]
                    resume.save(place.path, place.key, parameters, optimizer, losses, marks)
                yield Step(STAGE, before + step + 1, 2 * self.limit, name, loss)
        return curve

    def _batch(self, some: EncodedGroup, prompts: PromptTable, step: int) -> Batch:
        """Every picture as often, at noise levels of its own."""
        config, schedule = self.config, self.backbone.schedule
        n = config.batch_size + config.retain_batch_size
        rng = generator("recover", config.seed, some.group.name, step)
        rows = [i % len(some.train) for i in range(n)]
        t = timesteps(n, schedule.length, config.timesteps, rng)
        x0 = some.latents[rows]
        eps = torch.randn(x0.shape, generator=rng)
        condition = prompts[[some.train[i].prompt(some.group.style) for i in rows]]
        return Batch(
            n=n,
            x0=x0,
            eps=eps,
            x_t=schedule.add_noise(x0, eps, t),
            t=t,
            condition=condition,
            teacher_condition=condition,
            empty_condition=prompts[[""] * n],
            neighbours=None,
            schedule=schedule,
            conditional=prompts.conditional,
        )
