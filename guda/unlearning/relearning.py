"""Four pictures of a style are learned again by the model without it, as `recovery` measures it."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import UnlearnConfig
from ..diffusion import Backbone, LoraWeights, recomputing
from ..diffusion.noise import generator
from ..diffusion.room import Room
from ..errors import DivergedError
from ..groups.encode import EncodedGroup, PromptTable
from ..steps import Step, Steps
from . import probe, resume
from .batches import Batch, timesteps
from .gradient import LossScale, Student, learn
from .held import Held
from .recovery import BACK, HELD, Recovery, enough, first, looks
from .stopping import Mark

STAGE = "recover"
RATE = 0.1
"""Of the learning rate that suits unlearning the model: small, as four pictures soon say more of
themselves than of their style, and held-out ones get worse."""


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
        taken = self.limit if back is None else min(self.limit, enough(back))
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
