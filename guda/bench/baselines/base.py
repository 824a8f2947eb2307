"""What a scorer sees and returns, and the pieces that several scorers share.

I queries, K groups, n pictures, P points (a timestep each), latents (c, h, w).
"""

from __future__ import annotations

import copy
import importlib
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Queue
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ...diffusion import Backbone, Conditioning, training_attention
from ...diffusion.noise import standard_normal
from ...diffusion.schedule import NoiseSchedule
from ...errors import ConfigError
from ...scoring.elbo import Query
from ...steps import Step, Steps
from ...variants import Table, Variant

T = TypeVar("T")


@dataclass(frozen=True)
class Corpus:
    """What a scorer may look at: the full model and its training pictures, encoded, by group."""

    backbone: Backbone
    groups: Mapping[str, Query]
    seed: int = 0

    def whole(self) -> Query:
        """All training pictures, group after group."""
        parts = list(self.groups.values())
        return Query(
            torch.cat([p.latents for p in parts]),
            Conditioning.cat([p.condition for p in parts]),
            tuple(key for p in parts for key in p.keys),
        )

    def labels(self) -> np.ndarray:
        """(n,) the group's index of every picture of `whole()`."""
        return np.repeat(np.arange(len(self.groups)), [len(q) for q in self.groups.values()])

    def sums(self, scores: np.ndarray) -> np.ndarray:
        """(I, n) scores of single pictures to (I, K) float64, summed by group."""
        member = self.labels()[:, None] == np.arange(len(self.groups))
        return scores.astype(np.float64) @ member


@dataclass(frozen=True)
class Scores:
    """(I, K) float64, where there is more to say of them: a remark, and what lies on disk."""

    scores: np.ndarray
    remark: str = ""
    disk_kib: float = 0.0  # per group


Scorer = Callable[[Corpus, Query], Steps[Any]]
"""(corpus, I queries) -> (I, K) float64, groups in the mapping's order; higher mattered more.

A row depends on its own query and the corpus alone. The model comes out as it went in. A scorer
that has more to say returns `Scores`.
"""


@dataclass(frozen=True)
class ScorerRecord(Variant):
    """A record of `SCORERS`: a function settings -> Scorer."""

    needs: tuple[str, ...] = ()
    """What the benchmark gives the function beside its settings, see `run.Offer`."""
    needs_prompts: bool = False
    """Left out where the model takes none."""
    counted: bool = True
    """Whether hooks on the UNet see how many pictures go through it."""


SCORERS = Table(ScorerRecord, ".bench.baselines")


def need(module: str, package: str) -> Any:
    """A library of the bench extra. Raises ConfigError when it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"This baseline needs {package}, which is not installed ({error}); run "
            '"pip install -e .[bench]".'
        ) from None


def timesteps(points: int, length: int) -> Tensor:
    """P timesteps, the middles of equal parts of 1 ... T-1; (P,) long."""
    if not 1 <= points < length:
        raise ConfigError(f"points is {points}; give 1 to {length - 1}.")
    return 1 + (torch.arange(points) + 0.5).mul((length - 1) / points).long()


@dataclass(frozen=True)
class Noisy:
    """Pictures at the same P timesteps, whose noise is of (seed, picture, timestep) alone."""

    x_t: Tensor  # (n, P, c, h, w)
    eps: Tensor  # (n, P, c, h, w)
    embeds: Tensor  # (n, tokens, width)

    def to(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """x_t, eps and embeds on `device`."""
        return self.x_t.to(device), self.eps.to(device), self.embeds.to(device)


def noisy(query: Query, t: Tensor, schedule: NoiseSchedule, seed: int) -> Noisy:
    """Noise every picture at every timestep of t (P,)."""
    shape = query.latents.shape[1:]
    pairs = list(enumerate(t.tolist()))
    eps = torch.stack(
        [standard_normal(seed, key, step, i, shape) for key in query.keys for i, step in pairs]
    )
    x0 = query.latents.repeat_interleave(len(t), 0)
    x_t = schedule.add_noise(x0, eps, t.repeat(len(query)))
    split = (len(query), len(t))
    return Noisy(x_t.unflatten(0, split), eps.unflatten(0, split), query.condition.repeated().cpu())


PARAMETERS: dict[str, str] = {
    "all": r".*",
    "attention": r".*(attn[12]|attentions\.\d+)\.to_(q|k|v|out\.0)\..*",
    # Unconditional UNets have no attn2; their one attention's keys and values stand for it.
    "key_value": r".*(attn2|attentions\.\d+)\.to_(k|v)\..*",
}


class UnetCopy(nn.Module):
    """A private float32 copy of the UNet; its forward predicts the noise, as the backbone does.

    parameters: a name of PARAMETERS; these alone require gradients.
    Raises ConfigError when the UNet has none of them.
    """

    def __init__(self, backbone: Backbone, parameters: str = "all"):
        super().__init__()
        if parameters not in PARAMETERS:
            raise ConfigError(
                f"parameters is {parameters!r}; choose one of: {', '.join(PARAMETERS)}."
            )
        twin: Any = copy.copy(backbone)
        self.unet = twin.unet = copy.deepcopy(twin.unet).float().eval()
        self._predict = twin.predict_eps
        chosen = re.compile(PARAMETERS[parameters])
        for name, p in self.unet.named_parameters():
            p.requires_grad_(bool(chosen.fullmatch(name)))
        if not self.trainable():
            raise ConfigError(
                f"parameters is {parameters!r}, but this UNet has no such layers; choose 'all'."
            )

    def trainable(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def forward(self, x_t: Tensor, t: Tensor, embeds: Tensor) -> Tensor:
        """eps_hat; x_t (n, c, h, w), t (n,), embeds (n, tokens, width)."""
        with training_attention(x_t.device):
            return self._predict(x_t, t, Conditioning(embeds))


class _Stopped(Exception):
    pass


def stepwise(work: Callable[[Callable[[Step], None]], T]) -> Steps[T]:
    """A generator out of a library's call that can only report through a callback.

    `work` runs on a thread that waits, inside every report, until the caller wants the next step;
    closing the generator makes the report raise.
    """
    steps: Queue[Step | None] = Queue()
    answers: Queue[bool] = Queue()

    def report(step: Step) -> None:
        steps.put(step)
        if not answers.get():
            raise _Stopped

    def run() -> T:
        try:
            return work(report)
        finally:
            steps.put(None)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        try:
            while (step := steps.get()) is not None:
                yield step
                answers.put(True)
        finally:
            answers.put(False)
        return future.result()


class Progress:
    """Reports every batch that a loader puts together."""

    def __init__(self, report: Callable[[Step], None], name: str, total: int):
        self._report, self._name, self._total, self._done = report, name, total, 0

    def collate(self, items: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        self._done += len(items)
        self._report(Step("baseline", self._done, self._total, self._name))
        return tuple(torch.stack(parts) for parts in zip(*items, strict=True))
