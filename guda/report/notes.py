"""What is said below the answers: of the null pool, of the names, and of the intervals."""

from __future__ import annotations

from collections.abc import Mapping

from ..scoring import conformal
from ..scoring.verdict import Attribution, Outcome
from . import wording

ORIGINS = {"generated": "drawn by this model", "real": "that it did not draw"}
SOURCES = {
    "no style": "without a style",
    "another style": "in styles that are not tested",
    "folder": "of a folder",
}
SMALL = (
    f"A pool of fewer than {conformal.USUAL} names few of the pictures that do lean on a style: "
    "make it larger (size); what is there is kept."
)


def made_of(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What a pool is made of, a line for every form of prompt. counts: `NullPool.counts`."""
    words = SOURCES | {"in a style": "in the styles themselves"}
    return [
        f"{form} ({wording.FORMS[form]}): "
        + ", ".join(f"{n} {words.get(source, source)}" for source, n in sources.items())
        for form, sources in counts.items()
    ]


def null_notes(attribution: Attribution) -> list[str]:
    """What the null pool is, how often it names true pictures, and what its names are worth."""
    null = attribution.null
    if null is None:
        return []
    notes = []
    for form, told in null.forms.items():
        sources = " and ".join(
            f"{n} {SOURCES[source]}" for source, n in told.sources.items() if source in SOURCES
        )
        said = f"Held against {told.pictures} pictures {ORIGINS[null.origin]} ({sources}), "
        said += f"{wording.FORMS[form]} (the null pool). "
        said += "The verdict holds for pictures of that kind."
        if told.rank:
            beyond = "all of them" if told.rank == 1 else f"all but {told.rank - 1} of them"
            said += f" A name needs a place beyond {beyond}."
        if told.named_share is not None:
            share = wording.percent(told.named_share)
            said += (
                f" Of the pool's pictures in these styles {share} would get a name, so "
                '"none of these" is no proof of absence.'
            )
        if told.rank and told.pictures < conformal.USUAL:
            said += f" {SMALL}"
        notes.append(said)
    named = sum(i.outcome is Outcome.STYLE for i in attribution.images)
    if len(attribution.images) > 1:
        level = wording.percent(null.level)
        notes.append(
            f"{named} of {len(attribution.images)} pictures got a name; at most about "
            f"{null.expected_wrong:.1f} of the names are expected to be wrong. {null.kept} remain "
            f"when wrong names are held to {level} of all (Benjamini-Hochberg)."
        )
    return notes


def seeds(attribution: Attribution) -> str:
    """What of the intervals is the unlearning's; empty where nothing was unlearned."""
    told = attribution.spread
    if told is None:
        return ""
    shares = [told.of(style) for style in attribution.groups]
    least, most = wording.percent(min(shares)), wording.percent(max(shares))
    size = least if least == most else f"{least} to {most}"
    whence = (
        "Seed spread assumed, as benchmarks have it: repeats of 2 or more measure it."
        if told.assumed(attribution.groups)
        else f"Measured between the {told.repeats} repeats."
    )
    return (
        "The intervals include what another seed of the unlearning would change, a standard error "
        f"of {size} of a picture's typical delta. {whence}"
    )


def of(attribution: Attribution) -> list[str]:
    """What is to be said of the verdicts and the intervals."""
    return [*null_notes(attribution), *filter(None, [seeds(attribution)])]
