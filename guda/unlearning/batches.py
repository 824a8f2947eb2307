"""What every step trains on, as a function of (seed, group, step) alone.

Nothing here depends on what ran before, so an interrupted run continues exactly where it stopped,
and no random state needs saving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import UnlearnConfig
from ..diffusion import Backbone, Conditioning
from ..diffusion.noise import generator
from ..diffusion.schedule import NoiseSchedule
from ..groups import Example
from ..groups.encode import EncodedGroup, PromptTable
from ..variants import ANCHORS, OPERATORS
from .context import AnchorContext

AHEAD = 1000
"""Steps whose prompts are encoded at once, from multiples of this on wherever training begins."""

Predict = Callable[[Tensor, Tensor, Conditioning], Tensor]
"""(x_t, t, condition) -> eps_hat."""


@dataclass(frozen=True)
class Choice:
    """Indices, timesteps and prompts of one step: n forget rows, then m retain rows.

    The student's captions may be dropped, the teacher's are whole: the forget rows' anchors, the
    retain rows' own. A retain picture whose caption is dropped thus shows what the model answers
    to that prompt when only the retain groups exist, the mean over their captions, and not what
    the full model answers to it, which the forgotten group is a part of.
    """

    forget: tuple[int, ...]
    retain: tuple[tuple[str, int], ...]
    prompts: tuple[str, ...]  # (n + m,)
    teacher_prompts: tuple[str, ...]  # (n + m,)
    t: Tensor  # (n + m,)
    more_anchors: tuple[tuple[str, ...], ...] = ()  # (anchors - 1, n), of the forget rows

    @property
    def asked(self) -> Iterator[str]:
        """Every prompt, as often as it is asked."""
        yield from self.prompts
        yield from self.teacher_prompts
        for anchors in self.more_anchors:
            yield from anchors


@dataclass(frozen=True)
class Batch:
    """The tensors of one step; the first n rows are to be forgotten, the rest preserved."""

    n: int
    x0: Tensor
    eps: Tensor
    x_t: Tensor
    t: Tensor
    condition: Conditioning
    teacher_condition: Conditioning  # anchors for the first n rows, whole captions for the rest
    empty_condition: Conditioning  # (n,) the empty prompt
    neighbours: Tensor | None  # (n, K, c, h, w) nearest retain latents, if the operator asks
    schedule: NoiseSchedule
    conditional: bool = True  # whether prompts mean anything to the model
    more_anchors: tuple[Conditioning, ...] = ()  # (n,) each: the target is the mean over them
    whole: Batch | None = None  # what this is a part of

    def __len__(self) -> int:
        return len(self.t)

    @property
    def forgotten(self) -> Tensor:
        """x0 of the step's forget rows, of all of them in a part too."""
        batch = self.whole or self
        return batch.x0[: batch.n]

    def teacher(self, full: Predict) -> Tensor:
        """The full model's answers, to the anchors and to the retain rows' whole captions.

        Where a forget row has several anchors, the mean of the answers to them.
        """
        with torch.no_grad():
            answers = full(self.x_t, self.t, self.teacher_condition)
        if self.n and self.more_anchors:
            for anchors in self.more_anchors:
                answers[: self.n] += self.ask(full, anchors)
            answers[: self.n] /= 1 + len(self.more_anchors)
        return answers

    def ask(self, full: Predict, condition: Conditioning) -> Tensor:
        """The full model's answers on the forget rows, to one condition each."""
        with torch.no_grad():
            return full(self.x_t[: self.n], self.t[: self.n], condition)

    def losses(self, student: Predict, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared errors of the student's answers, on the forget and on the retain rows."""
        eps_hat = student(self.x_t, self.t, self.condition)
        error = (eps_hat - target.to(eps_hat.device)).square().mean(dim=(1, 2, 3))
        return _mean(error[: self.n]), _mean(error[self.n :])

    def forget_rows(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x_t, t, eps and neighbours of the forget rows."""
        if self.neighbours is None:
            raise ValueError("this operator needs the batch's nearest retain pictures")
        x_t, t, eps = (x[: self.n].to(device) for x in (self.x_t, self.t, self.eps))
        return x_t, t, eps, self.neighbours.to(device)

    @property
    def says_nothing(self) -> Tensor:
        """(n,) bool: which forget rows' prompts are the empty prompt."""
        own = self.condition.take(range(self.n))
        return own.equal(self.empty_condition)

    def parts(self, rows: int) -> Iterator[Batch]:
        """Of at most `rows` rows each, in order."""
        if rows >= len(self):
            yield self
            return
        for start in range(0, len(self), rows):
            index = list(range(start, min(start + rows, len(self))))
            own = [i for i in index if i < self.n]
            yield Batch(
                n=len(own),
                x0=self.x0[index],
                eps=self.eps[index],
                x_t=self.x_t[index],
                t=self.t[index],
                condition=self.condition.take(index),
                teacher_condition=self.teacher_condition.take(index),
                empty_condition=self.empty_condition.take(own),
                neighbours=None if self.neighbours is None else self.neighbours[own],
                schedule=self.schedule,
                conditional=self.conditional,
                more_anchors=tuple(c.take(own) for c in self.more_anchors),
                whole=self,
            )


def _mean(error: Tensor) -> Tensor:
    """0 without rows, as a part of a step may have none of one kind."""
    return error.mean() if len(error) else error.sum()


def timesteps(n: int, length: int, kind: str, rng: torch.Generator) -> Tensor:
    """n timesteps in 1 ... length-1, one from each of n even slices so that a batch covers them."""
    u = (torch.randperm(n, generator=rng) + torch.rand(n, generator=rng)) / n
    t = (length - 1) ** u if kind == "low" else 1 + u * (length - 1)
    return t.long().clamp(1, length - 1)


def caption(example: Example, style: str, dropout: float, rng: torch.Generator) -> str:
    """The example's prompt; for a share `dropout` nothing or, as often, its content alone."""
    u = torch.rand((), generator=rng).item() if dropout else 1.0
    if u >= dropout:
        return example.prompt(style)
    return "" if u < dropout / 2 else example.styleless()


@dataclass(frozen=True)
class Batches:
    """The batches of one group's training.

    neighbours: (own pictures, K, c, h, w), see `nearest_retain`, where the operator needs them.
    """

    encoded: Mapping[str, EncodedGroup]
    anchors: AnchorContext
    schedule: NoiseSchedule
    config: UnlearnConfig
    neighbours: Tensor | None = None

    @property
    def group(self) -> str:
        """Name of the group to forget."""
        return self.anchors.group.name

    def since(self, first: int, backbone: Backbone) -> Iterator[Batch]:
        """Those of the steps from `first` on, in order."""
        for start in range(first - first % AHEAD, self.config.steps, AHEAD):
            steps = range(start, min(start + AHEAD, self.config.steps))
            choices = {step: self.choose(step) for step in steps}
            prompts = PromptTable(backbone, (p for c in choices.values() for p in c.asked))
            for step in range(max(first, start), steps.stop):
                yield self.make(step, choices[step], prompts)

    def choose(self, step: int) -> Choice:
        """By the anchor's strategy, from a generator of the step's own."""
        config, encoded, own = self.config, self.encoded, self.encoded[self.group]
        rng = generator("step", config.seed, self.group, step)
        strategy = ANCHORS[config.anchor]
        forget = torch.randint(len(own.train), (config.batch_size,), generator=rng).tolist()
        examples = [own.train[i] for i in forget]
        retain, others = [], self.anchors.others
        for k in torch.randint(len(others), (config.retain_batch_size,), generator=rng):
            other = encoded[others[int(k)].name]
            i = int(torch.randint(len(other.train), (1,), generator=rng))
            retain.append((other.group.name, i))
        anchors = [strategy(self.anchors, e, rng) for e in examples]
        kept = [(encoded[name].train[i], encoded[name].group.style) for name, i in retain]
        asked = [*((e, own.group.style) for e in examples), *kept]
        prompts = tuple(caption(e, style, config.caption_dropout, rng) for e, style in asked)
        t = [
            timesteps(n, self.schedule.length, config.timesteps, rng)
            for n in (config.batch_size, config.retain_batch_size)
        ]
        more = config.anchors - 1 if OPERATORS[config.operator].anchored else 0
        return Choice(
            forget=tuple(forget),
            retain=tuple(retain),
            prompts=prompts,
            teacher_prompts=(*anchors, *(e.prompt(style) for e, style in kept)),
            t=torch.cat(t),
            more_anchors=tuple(
                tuple(strategy(self.anchors, e, rng) for e in examples) for _ in range(more)
            ),
        )

    def make(self, step: int, choice: Choice, prompts: PromptTable) -> Batch:
        """The tensors of what was chosen for `step`, whose prompts are in the table."""
        forget, t, neighbours = list(choice.forget), choice.t, self.neighbours
        kept = torch.stack([self.encoded[name].latents[i] for name, i in choice.retain])
        x0 = torch.cat([self.encoded[self.group].latents[forget], kept])
        rng = generator("unlearn noise", self.config.seed, self.group, step)
        eps = torch.randn(x0.shape, generator=rng)
        return Batch(
            n=len(forget),
            x0=x0,
            eps=eps,
            x_t=self.schedule.add_noise(x0, eps, t),
            t=t,
            condition=prompts[choice.prompts],
            teacher_condition=prompts[choice.teacher_prompts],
            empty_condition=prompts[[""] * len(forget)],
            neighbours=None if neighbours is None else neighbours[forget],
            schedule=self.schedule,
            conditional=prompts.conditional,
            more_anchors=tuple(prompts[anchors] for anchors in choice.more_anchors),
        )


def nearest_retain(encoded: Mapping[str, EncodedGroup], group: str, k: int) -> Tensor:
    """(own pictures, K, c, h, w): the K retain latents nearest to each latent of `group`."""
    own = encoded[group].latents
    retain = torch.cat([encoded[name].latents for name in sorted(encoded) if name != group])
    distance = torch.cdist(own.flatten(1), retain.flatten(1))
    return retain[distance.topk(min(k, len(retain)), largest=False).indices]
