"""The attribution as one self-contained page: no script, no network, light and dark."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
from html import escape
from typing import Any

from PIL import Image

from ..config import ElboConfig
from ..escape import visible
from ..scoring.verdict import Attribution, ImageScores, Outcome, Score
from . import distribution, heatmap, notes, placed, sheet, source, wording
from .profiles import profiles
from .theme import CSS

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # the browser holds us to it
)
UNNAMED = {
    Outcome.NONE: "None of these",
    Outcome.UNDECIDED: "Too close to call",
    Outcome.UNLIKE: "Unlike anything",
    Outcome.UNTOLD: "Not enough to tell",
}
PHOTO = 440  # longer side of a picture, pixels: twice its width on the page


def to_html(attribution: Attribution, *, top: int = 4) -> str:
    """The whole page; `top` leading groups get a heat map and a profile."""
    count, groups = len(attribution.images), len(attribution.groups)
    warnings = attribution.warnings
    model = _text(attribution.full_model.get("name", "the model"))
    pictures = "picture" if count == 1 else "pictures"
    body = [
        "<h1>Style attribution</h1>",
        f'<p class="soft">{count} {pictures}, {groups} tested styles, model {model}</p>',
        *(f'<p class="meaning warning"><b>Warning:</b> {_text(w)}</p>' for w in warnings),
        source.to_html(attribution),
        _overview(attribution) if count > 1 else _section(attribution, 0, top),
        *(f'<p class="meaning">{text}</p>' for text in _notes(attribution)),
        *(_section(attribution, i, top) for i in range(count) if count > 1),
        sheet.to_html(attribution, _img),
        _details(attribution),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Style attribution</title>\n<style>{CSS}</style></head>\n<body><main>\n"
        + "\n".join(filter(None, body))
        + "\n</main></body></html>\n"
    )


def _notes(attribution: Attribution) -> list[str]:
    """What the verdicts above are worth, and what the scores mean."""
    said = [_text(note) for note in notes.of(attribution)]
    return [*said, escape(wording.meaning(attribution))]


def _text(value: Any) -> str:
    return escape(wording.plain(str(value)))


def _strong(name: str) -> str:
    return f"<strong>{_text(name)}</strong>"


def _img(image: Image.Image, alt: str) -> str:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92, subsampling=0)
    data = base64.b64encode(out.getvalue()).decode("ascii")
    w, h = image.size
    return (
        f'<img src="data:image/jpeg;base64,{data}" width="{w}" height="{h}" alt="{_text(alt)}" '
        'style="height:auto">'
    )


def _overview(attribution: Attribution) -> str:
    items = []
    for i, image in enumerate(attribution.images):
        thumbnail = _img(placed.picture(attribution, i, 112), "")
        said = _short(image) or f"<q>{_text(image.scores[0].group)}</q>"
        items.append(
            f'<li><a href="#picture-{i + 1}">{thumbnail}<span><b>{said}</b>'
            f"<small>{_text(image.image)}</small></span></a></li>"
        )
    return f'<ul class="overview">{"".join(items)}</ul>'


def _short(image: ImageScores) -> str:
    """The verdict in two or three words; empty where it names a style."""
    if image.outcome is Outcome.UNDECIDED and image.evidence is not None:
        return "Undecided"
    return UNNAMED.get(image.outcome, "")


def _section(attribution: Attribution, index: int, top: int) -> str:
    image, unit = attribution.images[index], wording.unit(attribution)
    photo = _img(placed.picture(attribution, index, PHOTO), image.prompt or image.image)
    asked = escape(visible(image.prompt.strip()))
    prompt = f"<blockquote>{asked}</blockquote>" if asked else ""
    head, tail = wording.verdict_parts(image, unit, _strong)
    if image.evidence is not None:
        said = f'<p class="verdict">{head}</p><p>{tail[:1].upper()}{tail[1:]}</p>'
    else:
        said = f'<p class="verdict">{head}: {tail}</p>'
    return f"""<section class="card" id="picture-{index + 1}">
<div class="intro">{photo}<div><h2>{_text(image.image)}</h2>
{said}{_null(attribution, image)}{prompt}</div></div>
{_table(attribution, image)}
{_maps(attribution, index, top)}
{profiles(attribution, index, top)}
</section>"""


def _null(attribution: Attribution, image: ImageScores) -> str:
    drawn = distribution.of(attribution, image)
    if drawn is None or image.evidence is None:
        return ""
    told = f"p = {image.evidence.p:.2g}"
    if len(attribution.images) > 1:
        told += f", for the whole batch {image.evidence.q:.2g}"
    label = f"{wording.standing(image.evidence)}, {told}"
    return (
        f"{distribution.svg(drawn, escape(label))}"
        f'<p class="soft small">{escape(distribution.CAPTION)} {escape(told)}.</p>'
    )


def _table(attribution: Attribution, image: ImageScores) -> str:
    decimals, unit = wording.digits_of(image), wording.unit(attribution)
    ends = [v for s in image.scores for v in (s.low, s.high, s.delta) if math.isfinite(v)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    pointed = wording.contenders(image)
    mark = {True: "lead" if len(pointed) == 1 else "lead tie", False: ""}
    rows = [
        f'<tr class="{mark[s.group in pointed]}"><td class="n opt">{s.rank}</td>'
        f'<th scope="row">{_text(s.group)}</th><td class="bar">{_bar(s, low, high)}</td>'
        f'<td class="n">{wording.number(s.delta, decimals, signed=True)}</td>'
        f'<td class="opt">{wording.span(s.low, s.high, decimals)}</td>'
        f'<td class="n opt">{wording.percent(s.share)}</td>'
        + ("" if s.p is None else f'<td class="n opt">{s.p:.2g}</td>')
        + ("" if s.credit is None else f'<td class="n opt">{wording.percent(s.credit)}</td>')
        + "</tr>"
        for s in image.scores
    ]
    p = '<th class="n opt" scope="col">p</th>' if image.evidence else ""
    credit, rest = "", ""
    if wording.has_credit(image):
        credit = '<th class="n opt" scope="col">credit</th>'
        left = f"Credit of none of these: {wording.percent(wording.nobodys(image))}."
        rest = f'<p class="soft small">{left} {escape(wording.CREDIT)}</p>'
    return f"""<h3>What the model would lose without each style</h3>
<table><thead><tr><th class="n opt" scope="col">rank</th><th scope="col">style</th>
<th scope="col">delta and its {wording.interval_name(attribution)}</th>
<th class="n" scope="col">delta ({unit})</th>
<th class="opt" scope="col">{wording.interval_name(attribution)}</th>
<th class="n opt" scope="col">share</th>{p}{credit}</tr></thead><tbody>
{"".join(rows)}</tbody></table>{rest}"""


def _bar(score: Score, low: float, high: float) -> str:
    """The bar and its whisker; the numbers stand beside it, so it is hidden from readers aloud."""

    def at(value: float) -> float:
        return 100 * (value - low) / (high - low) if high > low else 0.0

    parts = []
    if math.isfinite(score.delta):
        left, right = sorted((at(0), at(score.delta)))
        parts.append(
            f'<rect class="fill" x="{left:.2f}%" y="4" width="{right - left:.2f}%" height="18" '
            'rx="2"/>'
        )
    parts.append(f'<line class="zero" x1="{at(0):.2f}%" x2="{at(0):.2f}%" y1="-8" y2="34"/>')
    if math.isfinite(score.low) and math.isfinite(score.high):
        a, b = f"{at(score.low):.2f}%", f"{at(score.high):.2f}%"
        for x1, x2, y1, y2 in ((a, b, 13, 13), (a, a, 9, 17), (b, b, 9, 17)):
            parts.append(f'<line class="whisker" x1="{x1}" x2="{x2}" y1="{y1}" y2="{y2}"/>')
    return f'<svg aria-hidden="true">{"".join(parts)}</svg>'


def _maps(attribution: Attribution, index: int, top: int) -> str:
    drawn, scale = placed.overlays(attribution, index, top=top, size=PHOTO)
    image, unit = attribution.images[index], wording.unit(attribution)
    decimals, fine = wording.digits_of(image), wording.digits([scale])
    figures = [
        f"<figure>{_img(o.image, f'where {o.group} matters')}<figcaption><b>{_text(o.group)}</b>"
        f"<span>{wording.number(o.delta, decimals, signed=True)} {unit}</span></figcaption>"
        "</figure>"
        for o in drawn
    ]
    none = all(score.low <= 0 for score in image.scores)
    noise = " No style clears zero here, so expect mostly noise." if none else ""
    end = wording.number(scale, fine)
    legend = _img(heatmap.ramp(380, 12), "from violet over grey to orange")
    return f"""<h3>Where in the picture</h3>
<p class="soft small">Orange: the style explains this place. Violet: the model does better here
without it. Lightly smoothed for the eye; the numbers are not.{noise}</p>
<div class="maps">{"".join(figures)}</div>
<div class="legend soft">{legend}<div><span>{wording.MINUS}{end}</span><span>0</span>
<span>+{end}</span></div>{unit} per location</div>"""


def _time(seconds: float) -> list[tuple[str, str, str]]:
    return [("time", f"{seconds:,.1f} s", "")] if math.isfinite(seconds) else []


def _details(attribution: Attribution) -> str:
    help_of = {f.name: f.metadata.get("help", "") for f in dataclasses.fields(ElboConfig)}
    rows = [(f"model {key}", value, "") for key, value in attribution.full_model.items()]
    rows += [(key, value, help_of.get(key, "")) for key, value in attribution.estimate.items()]
    rows += [(f"without {k}", v, "") for k, v in attribution.certificates.items()]
    rows += [
        ("UNet evaluations", f"{attribution.unet_evaluations:,}", "in all, for every model"),
        *_time(attribution.seconds),
        ("GUDA version", attribution.version, ""),
    ]
    items = "".join(
        f"<dt>{_text(key)}</dt><dd>{_text(value)}"
        + (f"<small>{escape(note)}</small>" if note else "")
        + "</dd>"
        for key, value, note in rows
    )
    verdict = escape(wording.rule(attribution))
    return f"""<details class="card"><summary>How this was computed</summary>
<p class="soft small">delta = ELBO(full model) - ELBO(model without the style), estimated on the
same noise for every model. A style's share is its part of the sum of the positive deltas.
{verdict}</p>
<dl>{items}</dl></details>"""
