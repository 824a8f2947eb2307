"""The words and numbers that tables, charts and pages share, so that they never disagree."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from ..escape import visible
from ..scoring import conformal
from ..scoring.verdict import Attribution, Evidence, ImageScores, Outcome

MEANING = (
    "The score estimates what this model's fit to the picture would lose had it been trained "
    "without the style; it is not proof of copying and says nothing about styles that were not "
    "tested."
)
DIRECTLY = (
    "Direct answer: nothing was unlearned; the model's own answers in the other styles stand for a "
    "model without the style."
)
RANKING = "a ranking of these styles, no evidence of origin"
FORMS = {
    "content": "asked with what they show",
    "none": "asked with no prompt",
    "named": "asked with a style's name",
}
CREDIT = (
    "Credit is a style's part of all that moves, from what 95 of 100 pictures that have nothing to "
    "do with the styles stay below (0) to all of it (1); a picture's credits never add up to more "
    "than 1, and the rest is nobody's. It is no Shapley value and no share of money."
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


def has_credit(image: ImageScores) -> bool:
    return any(s.credit is not None for s in image.scores)


def nobodys(image: ImageScores) -> float:
    """What is left of a picture's credit."""
    return max(0.0, 1 - math.fsum(s.credit or 0.0 for s in image.scores))


def contenders(image: ImageScores) -> tuple[str, ...]:
    """The groups that a verdict points at: one, several that overlap the leader, or none."""
    leader = image.scores[0]
    if image.outcome is Outcome.STYLE:
        return (leader.group,)
    if image.outcome is not Outcome.UNDECIDED:
        return ()
    if image.evidence is not None:
        return tuple(s.group for s in image.scores[:2])
    return tuple(s.group for s in image.scores if s.high >= leader.low)


def verdict_parts(
    image: ImageScores, unit: str, name: Callable[[str], str] = plain
) -> tuple[str, str]:
    """The verdict as a headline and its explanation; `name` marks up a group's name."""
    if image.evidence is not None:
        return _with_evidence(image, image.evidence, name)
    if image.outcome == Outcome.NONE:
        return (
            "None of the tested styles made a measurable difference",
            "even the leader's interval does not clear zero.",
        )
    if image.outcome == Outcome.UNDECIDED:
        return (
            f"Too close to call between {_listed(contenders(image), name)}",
            f"{RANKING}; raise the evaluations to separate them.",
        )
    leader = image.scores[0]
    lost = number(leader.delta, digits_of(image))
    lost = f"{lost} nats" if unit == "nats" else f"{lost} in {unit}"
    return (
        f"First of these styles: {name(leader.group)}",
        f"without it the model would fit this picture worse by {lost}; {RANKING}.",
    )


def _with_evidence(
    image: ImageScores, told: Evidence, name: Callable[[str], str]
) -> tuple[str, str]:
    """The same from null pictures, with how often such a verdict is wrong."""
    leader = name(image.scores[0].group)
    if image.outcome is Outcome.UNTOLD:
        return (
            "Not enough to tell",
            f"the null pool has {told.pool} pictures {FORMS[told.form]}, and a verdict needs "
            f"{conformal.smallest_pool()} at least, of {conformal.USUAL} it names many more. What "
            f"follows is {RANKING}.",
        )
    if image.outcome is Outcome.UNLIKE:
        return (
            "Unlike anything that the styles or the model explain",
            "the model is wrong about it in other ways than about its own pictures and those in "
            "the styles, so the scores below mean little.",
        )
    if image.outcome is Outcome.STYLE:
        return (
            f"Leaning on {leader}",
            f"{told.strength} evidence, {standing(told)}. {error_rate()}",
        )
    if image.outcome is Outcome.UNDECIDED:
        return (
            f"Undecided between {_listed(contenders(image), name)}",
            f"each stands out from the other styles, neither from the other: {leader} is "
            f"{standing(told)}. {error_rate()}{larger(told)}",
        )
    return (
        "None of these",
        f"{told.strength} evidence: {leader} comes first, {standing(told)}. {error_rate()}"
        f"{larger(told)}",
    )


def standing(told: Evidence) -> str:
    """For example "higher than 197 of 200 pictures that have nothing to do with these styles"."""
    return (
        f"higher than {told.lower} of {told.pool} pictures that have nothing to do with these "
        "styles"
    )


def error_rate() -> str:
    """How often a name is wrong, in one sentence that follows `standing`."""
    return (
        f"Of such pictures at most {percent(conformal.LEVEL)} get a name "
        f"({percent(conformal.CONFIDENCE)} confidence)."
    )


def larger(told: Evidence) -> str:
    """What a larger null pool would tell, where this one is too small to name the picture."""
    size = names_with(told)
    return f" With a null pool of {size} it may get a name." if size else ""


def names_with(told: Evidence) -> int:
    """The size of a null pool that would name the picture; 0 where its size is not the reason."""
    short = (Outcome.NONE, Outcome.UNDECIDED)
    if told.outcome not in short or told.pool - told.lower < told.rank:
        return 0
    return conformal.pool_that_names(told.p, told.pool)


def _listed(groups: Iterable[str], name: Callable[[str], str]) -> str:
    names = [name(group) for group in groups]
    if len(names) > NAMED:
        names[NAMED - 1 :] = [f"{len(names) - NAMED + 1} more"]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def rule(attribution: Attribution) -> str:
    """What the verdict is made by."""
    if attribution.null is None:
        return (
            "The verdict puts a style first only when its interval lies above zero and clear of "
            f"the next one's. It is {RANKING}: pictures that have nothing to do with any of the "
            "styles get a name by it about as often as others. A null pool makes it evidence."
        )
    return (
        "The verdict names a style only where it stands out further than in all but a few "
        "pictures that have nothing to do with any of the styles: by its part of all that moves "
        "at each noise level, averaged over the levels, minus the largest of the others'. p is "
        "the share of such pictures in which some style stands out as far; up to "
        f"{conformal.STRONG:g} it is strong evidence, up to {conformal.LEVEL:g} moderate, else "
        "weak."
    )


def verdict_sentence(image: ImageScores, unit: str, name: Callable[[str], str] = plain) -> str:
    """The verdict as one sentence."""
    return ": ".join(verdict_parts(image, unit, name))
