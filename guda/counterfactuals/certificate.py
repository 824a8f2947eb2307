"""The certificate of a counterfactual: what it was shown to have forgotten and kept, in one word.

certified   it went most of the way to its target, and leaves other styles' pictures as they were
weak        it went a part of the way only: its scores are too small
broken      it answers other styles' pictures otherwise than the full model does, or draws them far
            less or more sharp or varied; see `collapse`
refused     it forgot nothing, or its gate failed

The bounds were chosen on the five styles of the built-in model. The default recipe goes 0.67 to
0.87 of the way there and drifts by at most 0.01; five steps go 0.2 to 0.4 of the way; ten times the
learning rate drifts by more than the model's own error, which a gate alone lets pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..files.reading import number
from ..unlearning.gate import Gate
from ..unlearning.progress import DRIFT, Measure, Progress, Share
from ..unlearning.recovery import Recovery
from .collapse import BOUND, Collapse

GOAL = 0.6
"""Of the way to the target, from which on a counterfactual is certified."""
LEAST = 0.05
"""Of the way, below which nothing was forgotten. A single picture is not held against it."""


class Verdict(Enum):
    CERTIFIED = "certified"
    WEAK = "weak"
    BROKEN = "broken"
    REFUSED = "refused"


@dataclass(frozen=True)
class Certificate:
    """A verdict on measured progress, and on pictures that were drawn."""

    progress: Progress
    collapse: Collapse | None = None  # None where none were drawn
    spread: float | None = None  # between repetitions, see `unlearning.seeds`; None for one
    recovery: Recovery | None = None  # None where it was not asked for

    @property
    def verdict(self) -> Verdict:
        achieved, drift = _overall(self.progress.achieved), _overall(self.progress.drift)
        if drift is not None and drift.value > DRIFT:
            return Verdict.BROKEN
        if self.collapse is not None and self.collapse.broken:
            return Verdict.BROKEN
        if achieved is None:
            return Verdict.WEAK
        if achieved.low is not None and achieved.value < LEAST:
            return Verdict.REFUSED
        return Verdict.CERTIFIED if achieved.value >= GOAL else Verdict.WEAK

    @property
    def usable(self) -> bool:
        return self.verdict in (Verdict.CERTIFIED, Verdict.WEAK)

    @property
    def figures(self) -> str:
        achieved, drift = _overall(self.progress.achieved), _overall(self.progress.drift)
        unnamed = _overall(self.progress.unnamed)
        parts = [
            "it has no known target" if achieved is None else f"went {achieved} of the way",
            *([] if unnamed is None else [f"{unnamed.value:.2f} where the style is not named"]),
            *([] if drift is None else [f"drift {drift.value:.3f}"]),
            *([] if self.collapse is None else [str(self.collapse)]),
            *([] if self.spread is None else [f"seed spread {self.spread:.2f}"]),
            *([] if self.recovery is None else [str(self.recovery)]),
        ]
        return ", ".join(parts)

    @property
    def follows(self) -> str:
        """What follows from the figures."""
        verdict, scores = self.verdict, _overall(self.progress.scores)
        drift = _overall(self.progress.drift)
        if verdict is Verdict.BROKEN and drift is not None and drift.value > DRIFT:
            return f"other styles suffer, as their drift is above {DRIFT:g}"
        if verdict is Verdict.BROKEN:
            return (
                f"other styles suffer, as a picture of theirs stays between {1 / BOUND:g} and "
                f"{BOUND:g} times as sharp and as varied in a model that is whole"
            )
        if verdict is Verdict.REFUSED:
            return "it forgot nothing"
        if scores is None:
            return "how large its scores should be cannot be told"
        size = f"its scores are about {max(scores.value, 0):.0%} of its target's"
        if verdict is not Verdict.CERTIFIED:
            size += ", which is too small" if scores.value < 1 else ", but not by its target's way"
        achieved = _overall(self.progress.achieved)
        sure = achieved is not None and achieved.low is not None and achieved.low > 0
        return size if sure else f"{size}; the pictures held out are too few to be sure"

    @property
    def remedy(self) -> str:
        if self.verdict is Verdict.BROKEN:
            return "a lower lr or a larger preserve_weight"
        return "more steps or another lr"

    @property
    def text(self) -> str:
        return f"{self.verdict.value}, {self.figures}: {self.follows}"

    def as_dict(self, gate: Gate) -> dict[str, Any]:
        verdict = self.verdict if gate.passed or not self.usable else Verdict.REFUSED
        said = f"{self.figures}: {self.follows if gate.passed else 'its gate failed'}"
        told = {"verdict": verdict.value, "reason": said} | self.progress.as_dict()
        told |= {} if self.collapse is None else {"collapse": self.collapse.as_dict()}
        told |= {} if self.spread is None else {"seed_spread": self.spread}
        return told | ({} if self.recovery is None else {"recovery": self.recovery.as_dict()})

    @classmethod
    def read(cls, told: Any) -> Certificate:
        """Raises ValueError for what is no certificate."""
        progress = Progress.read(told)
        spread = told.get("seed_spread")
        if spread is not None and (spread := number(spread, "seed_spread")) < 0:
            raise ValueError(f"seed_spread is {spread}, which is below zero")
        recovery = Recovery.read(told.get("recovery"))
        return cls(progress, Collapse.read(told.get("collapse")), spread, recovery)


def _overall(measure: Measure | None) -> Share | None:
    return None if measure is None else measure.overall
