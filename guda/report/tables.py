"""An attribution as plain data: a dict for JSON, a Markdown page, a CSV table."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from ..escape import for_cell, for_markdown
from ..scoring.verdict import AgainstNull, Attribution, Evidence, ImageScores, Outcome, Score
from . import notes, source, wording

COLUMNS = (
    "image", "prompt", "verdict", "group", "delta", "stderr", "low", "high", "rank", "share",
)  # fmt: skip


def finite(value: Any) -> Any:
    """`value` with every number that JSON cannot hold replaced by None; tuples become lists."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_dict(attribution: Attribution) -> dict[str, Any]:
    """Everything but the pictures and the maps, ready for JSON; delta in nats, best first.

    "profile" lists a score's parts by noise level, timesteps `from` ... `to`; they sum to delta.
    """
    certificates = dict(attribution.certificates)
    return finite(
        {
            "images": [_image(attribution, i) for i in range(len(attribution.images))],
            "full_model": attribution.full_model,
            "estimate": attribution.estimate,
            "unet_evaluations": attribution.unet_evaluations,
            "seconds": attribution.seconds,
            "version": attribution.version,
            "counterfactuals": "direct" if attribution.direct else "unlearned",
            **({"certificates": certificates} if certificates else {}),
            **({"seed_spread": _spread(attribution)} if attribution.spread else {}),
            **({"null": _null(attribution.null)} if attribution.null else {}),
            **({"source": source.to_dict(attribution.source)} if attribution.source else {}),
            "note": wording.meaning(attribution),
            "warnings": attribution.warnings,
        }
    )


def _image(attribution: Attribution, index: int) -> dict[str, Any]:
    image = attribution.images[index]
    return {
        "image": image.image,
        "prompt": image.prompt,
        "verdict": image.verdict,
        "outcome": image.outcome.value,
        "elbo": image.elbo,
        **({"evidence": _evidence(image.evidence)} if image.evidence else {}),
        **({"credit_of_none": wording.nobodys(image)} if wording.has_credit(image) else {}),
        "scores": [_score(attribution, index, score) for score in image.scores],
    }


def _spread(attribution: Attribution) -> dict[str, Any]:
    """`shares`: of a picture's typical delta, of the mean of all repeats."""
    told = attribution.spread
    assert told is not None
    return {
        "repeats": told.repeats,
        "assumed": told.assumed(attribution.groups),
        "shares": {style: told.of(style) for style in attribution.groups},
        "text": notes.seeds(attribution),
    }


def _evidence(told: Evidence) -> dict[str, Any]:
    """`p`: of a picture that has nothing to do with any of the styles; `q`: for the whole call.

    `names_with`: the size of a null pool that may name the picture, 0 where size is not the reason.
    """
    return {
        "prompt": told.form,
        "null_pictures": told.pool,
        "lower": told.lower,
        "statistic": told.statistic,
        "p": told.p,
        "q": told.q,
        "strength": told.strength,
        "unlike_p": told.unlike,
        "names_with": wording.names_with(told),
        "text": wording.standing(told),
    }


def _null(null: AgainstNull) -> dict[str, Any]:
    """The pool: with each form of prompt its statistics, and the cut that a name has to exceed."""
    return {
        "file": null.file,
        "digest": null.digest,
        "origin": null.origin,
        "level": null.level,
        "confidence": null.confidence,
        "expected_wrong": null.expected_wrong,
        "kept": null.kept,
        "prompts": {
            form: {
                "pictures": told.pictures,
                "sources": dict(told.sources),
                "rank": told.rank,
                "cut": told.cut,
                "named_share": told.named_share,
                "statistics": told.statistics,
            }
            for form, told in null.forms.items()
        },
    }


def _score(attribution: Attribution, index: int, score: Score) -> dict[str, Any]:
    profile = attribution.profile[index, attribution.groups.index(score.group)].tolist()
    return {
        "group": score.group,
        "delta": score.delta,
        "stderr": score.stderr,
        "low": score.low,
        "high": score.high,
        "rank": score.rank,
        "share": score.share,
        **({} if score.seed_stderr is None else {"seed_stderr": score.seed_stderr}),
        **({} if score.p is None else {"p": score.p}),
        **({} if score.credit is None else {"credit": score.credit}),
        "profile": [
            {"from": first, "to": last, "delta": delta}
            for (first, last), delta in zip(attribution.strata, profile, strict=True)
        ],
    }


def to_markdown(attribution: Attribution) -> str:
    """One section per picture: verdict, table, and what the score means."""
    warnings = [f"> **Warning:** {for_markdown(text)}" for text in attribution.warnings]
    warnings += [f"> {for_markdown(text)}" for text in notes.of(attribution)]
    sections = [_section(attribution, image) for image in attribution.images]
    together = source.to_markdown(attribution)
    return "\n\n".join(["# Style attribution", *warnings, *together, *sections]) + "\n"


def _section(attribution: Attribution, image: ImageScores) -> str:
    unit = wording.unit(attribution)
    decimals, credit = wording.digits_of(image), wording.has_credit(image)
    sentence = wording.verdict_sentence(image, unit, lambda name: f"**{for_markdown(name)}**")
    lines = [f"## {for_markdown(image.image)}", ""]
    if image.prompt.strip():
        lines += [f"Prompt: *{for_markdown(image.prompt)}*", ""]
    lines += [
        sentence,
        "",
        f"| rank | style | delta ({unit}) | {wording.interval_name(attribution)} | share |"
        + (" credit |" if credit else ""),
        "| ---: | :--- | ---: | :---: | ---: |" + (" ---: |" if credit else ""),
    ]
    for score in image.scores:
        delta = wording.number(score.delta, decimals, signed=True)
        span = wording.span(score.low, score.high, decimals)
        share = wording.percent(score.share)
        own = "" if score.credit is None else f" {wording.percent(score.credit)} |"
        name = for_markdown(score.group)
        lines.append(f"| {score.rank} | {name} | {delta} | {span} | {share} |{own}")
    if credit:
        lines += [f"| | none of these | | | | {wording.percent(wording.nobodys(image))} |"]
        lines += ["", wording.CREDIT]
    return "\n".join([*lines, "", wording.meaning(attribution)])


def to_comparison(direct: Attribution, unlearned: Attribution) -> str:
    """The verdicts on the same pictures side by side: at once, and with counterfactuals."""
    lines = [
        "| picture | answered directly | with counterfactuals |",
        "| :--- | :--- | :--- |",
    ]
    for one, two in zip(direct.images, unlearned.images, strict=True):
        cells = [one.image, _leader(one), _leader(two)]
        lines.append(f"| {' | '.join(map(for_markdown, cells))} |")
    return "\n".join(lines)


def _leader(image: ImageScores) -> str:
    """For example "Ink, +13.1", or "undecided (Ink, +2.1)"."""
    first = image.scores[0]
    delta = wording.number(first.delta, wording.digits_of(image), signed=True)
    leads = f"{first.group}, {delta}"
    return leads if image.outcome is Outcome.STYLE else f"{image.verdict} ({leads})"


def to_csv(attribution: Attribution) -> str:
    """One row per picture and group, at full precision; an unknown number is an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    more = ("p",) if attribution.null else ()  # among null pictures
    more += ("credit",) if any(map(wording.has_credit, attribution.images)) else ()
    writer.writerow((*COLUMNS, *more))
    for image in attribution.images:
        shared = [for_cell(text) for text in (image.image, image.prompt, image.verdict)]
        for s in image.scores:
            numbers = [s.delta, s.stderr, s.low, s.high, s.rank, s.share]
            numbers += [getattr(s, name) for name in more]
            writer.writerow([*shared, for_cell(s.group), *finite(numbers)])
    return out.getvalue()
