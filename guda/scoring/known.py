"""Does the model know this style? How far a phrase moves its answers, beside made-up names.

At a noisy picture x_t of the content c, a_j = eps_full(x_t, "c, in s_j style"). Any name moves the
answer from that to "c" alone, a made-up one too, so the n made-up names u_i say how far nothing
moves it:

    d_j = |a_j - mean_i a(u_i)|^2,   l_j = log d_j - mean_i log d(u_i)

with each made-up name held against the mean of the others. l is averaged over noise levels and
contents; its interval is a t-interval over the contents, and every style is on the same noise.

A style is known when l_j lies beyond all made-up names and beyond `SURE` of what another one would
reach (the prediction interval of a t distribution), with an interval clear of `LIKELY`; hardly
known when l_j is beyond `LIKELY`; else not known by this name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from ..diffusion import Backbone
from ..diffusion.noise import standard_normal
from ..diffusion.room import Room
from ..steps import Step, Steps
from .elbo import finite

LEVELS = (350, 750)  # thousandths of the schedule's length
SURE, LIKELY = 0.995, 0.975
"""Chosen on the built-in model, with 24 to 32 of 60 made-up names and the others as styles."""
CONFIDENCE = 0.95
NOTHING = 1e-8
"""A squared distance, in units of the noise's, below which an answer is not moved at all."""


class Knowledge(Enum):
    """What can be said of a style's name."""

    KNOWN = "known"
    HARDLY = "hardly known"
    UNKNOWN = "not known by this name"


@dataclass(frozen=True)
class Asked:
    """What the model is asked for every content c: C rows of K styles and n made-up names."""

    alone: tuple[str, ...]  # (C,)
    in_styles: tuple[tuple[str, ...], ...]  # (C, K)
    made_up: tuple[tuple[str, ...], ...]  # (C, n)

    @property
    def prompts(self) -> int:
        """Different answers at one noisy picture."""
        return 1 + len(self.in_styles[0]) + len(self.made_up[0])


@dataclass(frozen=True)
class StyleKnown:
    """One style. `times` as far as a made-up name does its phrase move the answer, low ... high."""

    style: str
    phrase: str
    knowledge: Knowledge
    times: float
    low: float
    high: float
    change: float
    """Root mean square |answer with the phrase - answer without| / |noise|."""


@dataclass(frozen=True)
class KnownStyles:
    """The styles in the order in which they were given."""

    styles: tuple[StyleKnown, ...]
    known_from: float  # `times` beyond which a style can be known, and
    hardly_from: float  # hardly known
    contents: tuple[str, ...]
    full_model: dict  # name, fingerprint
    unet_evaluations: int
    seconds: float
    version: str
    warnings: tuple[str, ...] = ()

    def named(self, knowledge: Knowledge) -> tuple[str, ...]:
        """The names of the styles of which this can be said."""
        return tuple(s.style for s in self.styles if s.knowledge is knowledge)


@dataclass(frozen=True)
class Distances:
    """Squared, by content and level (P = C L of them), in units of the noise's square."""

    of_styles: np.ndarray  # (P, K) from the mean answer to made-up names
    of_made_up: np.ndarray  # (P, n) from the mean answer to the others
    from_alone: np.ndarray  # (P, K) from the answer without a style
    contents: int


def evaluations(contents: int, styles: int, made_up: int, levels: Sequence[int] = LEVELS) -> int:
    """Noisy pictures through the UNet."""
    return contents * len(levels) * (1 + styles + made_up)


def distances(
    backbone: Backbone,
    asked: Asked,
    latents: Tensor,
    keys: Sequence[str],
    room: Room,
    levels: Sequence[int] = LEVELS,
) -> Steps[Distances]:
    """latents: (C, c, h, w), a picture of every content; keys name their noise.

    Raises ModelError when an answer is not finite.
    """
    styles, made_up = len(asked.in_styles[0]), len(asked.made_up[0])
    total, done, rows = evaluations(len(latents), styles, made_up, levels), 0, []
    for c, x0 in enumerate(latents):
        prompts = (asked.alone[c], *asked.in_styles[c], *asked.made_up[c])
        condition = backbone.encode_prompts(prompts)
        for level in levels:
            t = max(1, level * backbone.schedule.length // 1000)
            eps = standard_normal(0, keys[c], t, 0, x0.shape)
            x_t = backbone.schedule.add_noise(x0[None], eps[None], torch.tensor([t]))

            @torch.no_grad()
            def answer(part: slice, x_t=x_t, t=t, condition=condition) -> Tensor:
                index = range(asked.prompts)[part]
                many = x_t.expand(len(index), *x_t.shape[1:]).contiguous()
                at = torch.full((len(index),), t)
                return backbone.predict_eps(many, at, condition.take(index)).float().cpu()

            parts = []
            for part in room.over(asked.prompts, answer):
                parts.append(finite(part, backbone))
                done += len(part)
                yield Step("styles", done, total)
            answers = torch.cat(parts).flatten(1).double()
            rows.append(_apart(answers / eps.double().norm(), styles))
    of_styles, of_made_up, from_alone = (np.stack(column) for column in zip(*rows, strict=True))
    return Distances(of_styles, of_made_up, from_alone, len(latents))


def _apart(answers: Tensor, styles: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of one point's answers (1 + K + n, ...); scaled, so that names alike in kind agree."""
    alone, named, made_up = answers.split((1, styles, len(answers) - 1 - styles))
    n = len(made_up)
    mean = made_up.mean(0)
    moved = (named - alone).square().sum(1)
    apart = (named - mean).square().sum(1) * (n / (n + 1))
    apart = torch.where(moved > NOTHING, apart, moved.clamp(max=NOTHING))
    others = (made_up - mean).square().sum(1) * (n / (n - 1))
    return apart.numpy(), others.numpy(), moved.numpy()


def judge(
    far: Distances, names: Sequence[str], phrases: Sequence[str], likely: float = LIKELY
) -> tuple[tuple[StyleKnown, ...], float, float]:
    """The styles, and the `times` from which one is known and hardly known.

    A single content has no interval over contents: the noise levels stand in for them.
    """
    n = far.of_made_up.shape[1]
    made_up = np.log(far.of_made_up + NOTHING)
    base = made_up.mean(1, keepdims=True)
    log = np.log(far.of_styles + NOTHING) - base  # (P, K)
    reference = (made_up - base).mean(0)
    spread = reference.std(ddof=1) * np.sqrt(1 + 1 / n)
    sure = max(stdtrit(n - 1, SURE) * spread, reference.max())
    clear = stdtrit(n - 1, likely) * spread
    units = log.reshape(far.contents, -1, log.shape[1]).mean(1) if far.contents > 1 else log
    mean, count = units.mean(0), len(units)
    half = np.zeros_like(mean)
    if count > 1:
        error = units.std(0, ddof=1) / np.sqrt(count)
        half = stdtrit(count - 1, (1 + CONFIDENCE) / 2) * error
    styles = []
    for k, (name, phrase) in enumerate(zip(names, phrases, strict=True)):
        level = Knowledge.HARDLY if mean[k] > clear else Knowledge.UNKNOWN
        if mean[k] > sure and mean[k] - half[k] > clear:
            level = Knowledge.KNOWN
        times, low, high = np.exp(np.array([0, -half[k], half[k]]) / 2 + mean[k] / 2).tolist()
        change = float(np.sqrt(far.from_alone[:, k].mean()))
        styles.append(StyleKnown(name, phrase, level, times, low, high, change))
    return tuple(styles), float(np.exp(sure / 2)), float(np.exp(clear / 2))
