"""The learning rate, found by short trials: uphill, half a decade at a time.

A trial is the beginning of a training at one rate, after which held-out pictures are looked at with
the mean of its weights (see `stopping`). The best is the one that went farthest while other styles
were kept; of those that are nearly as good the smallest, as in few steps a rate looks good that is
too large for many (Wu et al. 2018, "Understanding short-horizon bias").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..budget.rows import Rooms
from ..config import UnlearnConfig
from ..diffusion import Backbone
from ..errors import DivergedError
from ..files.reading import field, number
from ..groups import Example, StyleGroups
from ..groups.encode import EncodedGroup
from ..steps import Step, Steps, passed
from . import probe
from .batches import Batches
from .probe import Probe
from .progress import DRIFT, LEVELS
from .stopping import FORGET, RETAIN, Watch
from .train import batches_of, rooms_of, train

STEPS, SHARE = 24, 25
"""Steps of a trial: so many, or this part of a training that is longer."""
MOST = 5
"""Trials at most."""
NEARLY = 0.05
"""Of the way to the target, by which a trial may be behind and be as good."""

LEAST = 1e-8


@dataclass(frozen=True)
class Trial:
    """A rate, and what a look showed after its trial; None where training broke down."""

    lr: float
    achieved: float | None
    drift: float | None

    def __str__(self) -> str:
        if self.achieved is None:
            return f"lr {self.lr:g}: training broke down"
        drift = "" if self.drift is None else f", drift {self.drift:.3f}"
        return f"lr {self.lr:g}: {self.achieved:.2f} of the way{drift}"

    @property
    def score(self) -> float:
        """How far it went; below every other where other styles suffer."""
        if self.achieved is None:
            return -math.inf
        drift = self.drift or 0.0
        return max(self.achieved, -1.0) if drift <= DRIFT else -1.0 - drift

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, told: Any) -> Trial:
        """What `as_dict` gave. Raises ValueError."""
        lr = number(field(told, "lr", object), "lr")
        seen = (told.get(k) for k in ("achieved", "drift"))
        return cls(lr, *(None if x is None else number(x, "what a trial showed") for x in seen))


def steps(config: UnlearnConfig) -> int:
    """Of a trial."""
    return min(config.steps, max(STEPS, config.steps // SHARE))


def recipe(config: UnlearnConfig) -> UnlearnConfig:
    """Of one trial, which begins at nothing, so that it shows what the rate does."""
    return config.replace(steps=steps(config), repeats=1, stop="auto", goal=1.0, start="zero")


def rate(start: float, k: int) -> float:
    """k half decades from `start`, to one digit."""
    return float(f"{start * 10 ** (k / 2):.0e}") if k else start


def best(trials: Sequence[Trial]) -> Trial:
    top = max(t.score for t in trials)
    return min((t for t in trials if t.score >= top - NEARLY), key=lambda t: t.lr)


def further(start: float, trials: Sequence[Trial]) -> float | None:
    """The rate of the next trial, None when the best has a worse one on either side."""
    by_rate = {t.lr: t for t in trials}
    tried = {k: by_rate[r] for k in range(-MOST, MOST + 1) if (r := rate(start, k)) in by_rate}
    if 0 not in tried:
        return start
    if len(tried) >= MOST:
        return None
    top = next(k for k, t in tried.items() if t is best(list(tried.values())))
    k = next((k for k in (top - 1, top + 1) if k not in tried), None)
    return None if k is None or not LEAST <= rate(start, k) <= 1 else rate(start, k)


def tried_on(groups: StyleGroups) -> str:
    """The style that rates are tried on."""
    return min(groups.names)


def evaluations(
    batches: Batches, forget: Sequence[Example], retain: int, prompts: bool, trials: int
) -> int:
    """Pictures through the UNet for the looks of so many trials."""
    own, others = forget[:FORGET], min(FORGET, retain)
    student = len(own) + min(RETAIN, others)
    return probe.of_full(batches, own, others, prompts) + trials * student * len(LEVELS)


def find(
    backbone: Backbone,
    groups: StyleGroups,
    encoded: Mapping[str, EncodedGroup],
    config: UnlearnConfig,
    trials: list[Trial],
    rooms: Rooms | None = None,
    keep: Callable[[Sequence[Trial]], None] = lambda _: None,
) -> Steps[float]:
    """The rate for all of the groups, from trials on the one that is first by name.

    trials: those that are done; `keep` is called when there is another.
    """
    name, start, n = tried_on(groups), config.lr, steps(config)
    training, room = rooms_of(backbone, config, rooms)
    config = recipe(config)
    batches = batches_of(backbone, groups, encoded, name, config)
    watch = None
    while (lr := further(start, trials)) is not None:
        at = f"lr {lr:g}"
        yield Step("rate", 0, n, name, note=at)
        watch = watch or Watch.of(Probe.of(backbone, batches, room, FORGET), room, [n])
        own = replace(batches, config=config.replace(lr=lr))

        def told(step: Step, at=at) -> Step | None:
            return replace(step, stage="rate", note=at) if step.stage == "unlearn" else None

        try:
            *_, ended = yield from passed(train(backbone, own, None, training, 0, watch), told)
            seen = (ended.achieved, ended.drift)
        except DivergedError:
            seen = (None, None)
        finite = all(x is None or math.isfinite(x) for x in seen)
        trials.append(Trial(lr, *(seen if finite else (None, None))))
        keep(trials)
        yield Step("rate", n, n, name, note=str(trials[-1]))
    return best(trials).lr
