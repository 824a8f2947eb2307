"""Where each style's score comes from, by noise level, as panels of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from ..scoring.verdict import Attribution
from . import wording
from .wording import plain

BARS = 16  # most bars in a panel


def profiles(attribution: Attribution, index: int, top: int) -> str:
    image, groups = attribution.images[index], attribution.groups
    strata = len(attribution.strata)
    if strata < 2:
        return ""
    # much noise first, as sampling goes; neighbours are added up where there are many
    order = sorted(range(strata), key=lambda s: -attribution.strata[s][0])
    size = math.ceil(strata / BARS)
    bins = [order[i : i + size] for i in range(0, strata, size)]
    shown = {}
    for score in image.scores[:top]:
        profile = attribution.profile[index, groups.index(score.group)].tolist()
        shown[score.group] = [math.fsum(profile[s] for s in b) for b in bins]
    finite = [v for values in shown.values() for v in values if math.isfinite(v)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    spans = [[attribution.strata[s] for s in b] for b in bins]
    labels = [f"t {min(span)[0]} to {max(last for _, last in span)}" for span in spans]
    waves = [
        f"<figure>{_wave(group, values, labels, low, high, wording.unit(attribution))}"
        f'<div class="ends"><span>structure</span><span>texture</span></div>'
        f"<figcaption><b>{escape(plain(group))}</b></figcaption></figure>"
        for group, values in shown.items()
    ]
    first = max(last for _, last in attribution.strata)
    last = min(first for first, _ in attribution.strata)
    return f"""<h3>By noise level</h3>
<p class="soft small">Where each style's score comes from: left, much noise (t = {first}), where a
picture's layout is decided; right, little noise (t = {last}), where texture and edges are. All
panels share one scale.</p><div class="waves">{"".join(waves)}</div>"""


def _wave(
    group: str, values: Sequence[float], labels: Sequence[str], low: float, high: float, unit: str
) -> str:
    span, width = (high - low) or 1.0, 100 / len(values)
    parts = []
    decimals = wording.digits([low, high])
    for k, (value, label) in enumerate(zip(values, labels, strict=True)):
        if not math.isfinite(value):
            continue
        top, tall = 100 * (high - max(value, 0)) / span, 100 * abs(value) / span
        said = f"{label}: {wording.number(value, decimals, signed=True)} {unit}"
        parts.append(
            f'<rect class="{"up" if value > 0 else "down"}" x="{k * width + 0.6:.2f}" '
            f'y="{top:.2f}" width="{width - 1.2:.2f}" height="{tall:.2f}">'
            f"<title>{escape(said)}</title></rect>"
        )
    zero = 100 * high / span
    return (
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(plain(group))} by noise level"><line class="zero" x1="0" x2="100" '
        f'y1="{zero:.2f}" y2="{zero:.2f}" vector-effect="non-scaling-stroke"/>'
        + "".join(parts)
        + "</svg>"
    )
