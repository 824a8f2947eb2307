"""The words and numbers that tables, charts and pages share, so that they never disagree."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from ..escape import visible
from ..scoring.verdict import Attribution, ImageScores, Outcome

MEANING = (
    "The score estimates what this model's fit to the picture would lose had it been trained "
    "without the style; it is not proof of copying and says nothing about styles that were not "
    "tested."
)
DIRECTLY = (
    "Direct answer: nothing was unlearned; the model's own answers in the other styles stand for a "
    "model without the style."
)
MINUS = "\N{MINUS SIGN}"
NAMED = 3  # contenders that an undecided verdict spells out


def plain(name: str) -> str:
    """A name on one line, as it is written; what would not be seen of it is spelled out."""
    return visible(" ".join(name.split()))


def meaning(attribution: Attribution) -> str:
    """What the scores mean, and where they come from if nothing was unlearned."""
    return f"{DIRECTLY} {MEANING}" if attribution.direct else MEANING


def unit(attribution: Attribution) -> str:
    """What a delta is measured in: nats only under the exact KL weights."""
    return "nats" if attribution.estimate.get("weighting", "kl") == "kl" else "weighted error"


def interval_name(attribution: Attribution) -> str:
    """For example "95 % interval"."""
    return f"{float(attribution.estimate.get('confidence', 0.95)) * 100:g} % interval"


def digits(values: Iterable[float]) -> int:
    """Decimals that give the largest of `values` about three significant figures."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    return min(max(2 - math.floor(math.log10(largest)), 0), 6) if largest > 0 else 2


def digits_of(image: ImageScores) -> int:
    """Decimals for every number of one picture's table."""
    return digits(v for s in image.scores for v in (s.delta, s.low, s.high))


def number(value: float, decimals: int, *, signed: bool = False) -> str:
    """A number with a true minus sign, never "-0.0"; an en dash where there is none."""
    if not math.isfinite(value):
        return "\N{EN DASH}"
    text = f"{abs(value):,.{decimals}f}"
    if not any(c in "123456789" for c in text):
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def span(low: float, high: float, decimals: int) -> str:
    """An interval in words: "10.1 to 14.5"."""
    return f"{number(low, decimals)} to {number(high, decimals)}"


def percent(share: float) -> str:
    return f"{share * 100:.0f} %" if math.isfinite(share) else "\N{EN DASH}"


def contenders(image: ImageScores) -> tuple[str, ...]:
    """The groups that a verdict points at: one, several that overlap the leader, or none."""
    if image.outcome == Outcome.NONE:
        return ()
    leader = image.scores[0]
    if image.outcome == Outcome.UNDECIDED:
        return tuple(s.group for s in image.scores if s.high >= leader.low)
    return (leader.group,)


def verdict_parts(
    image: ImageScores, unit: str, name: Callable[[str], str] = plain
) -> tuple[str, str]:
    """The verdict as a headline and its explanation; `name` marks up a group's name."""
    if image.outcome == Outcome.NONE:
        return (
            "None of the tested styles made a measurable difference",
            "even the leader's interval does not clear zero.",
        )
    if image.outcome == Outcome.UNDECIDED:
        names = [name(group) for group in contenders(image)]
        if len(names) > NAMED:
            names[NAMED - 1 :] = [f"{len(names) - NAMED + 1} more"]
        listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        return f"Too close to call between {listed}", "raise the evaluations to separate them."
    leader = image.scores[0]
    lost = number(leader.delta, digits_of(image))
    lost = f"{lost} nats" if unit == "nats" else f"{lost} in {unit}"
    return (
        f"Leaning on {name(leader.group)}",
        f"without it the model would fit this picture worse by {lost}.",
    )


def verdict_sentence(image: ImageScores, unit: str, name: Callable[[str], str] = plain) -> str:
    """The verdict as one sentence."""
    return ": ".join(verdict_parts(image, unit, name))
