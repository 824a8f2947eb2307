"""What the panel in "Attribute to Styles" shows: `report.to_dict` and files that /view serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from ..guda.escape import visible
from . import places
from .convert import save_temp

PICTURE, LAYER = 512, 256  # longer sides in pixels: the picture, a heat map over it
THUMB = 160  # of a sheet's


def payload(attribution) -> dict[str, Any]:
    """The attribution for the web panel, under the key "guda" of the node's ui.

    Beyond `report.to_dict`: "unit", "interval" (its name), "markdown", "csv", "report" (the HTML
    page), "notes" (on the null pool and the intervals), "sheets" (of styles, with them and without
    them: "thumb" and "file"); per picture "headline" and "detail" (the verdict), "sentence"
    (both), "named" (the styles that it points at), "null" (its distribution, see `_null`),
    "picture" as it was given, its "size" in pixels, "scale" (nats at full colour) and "heatmaps":
    for every style a transparent PNG in the picture's shape, to be laid over it. Files are what
    /view takes.
    """
    from ..guda import report
    from ..guda.report import distribution, notes, placed, sheet, wording

    folder, unit = places.temp_folder(), wording.unit(attribution)
    data = report.to_dict(attribution)
    data |= {
        "unit": unit,
        "interval": wording.interval_name(attribution),
        "markdown": report.to_markdown(attribution),
        "csv": report.to_csv(attribution),
        "notes": notes.of(attribution),
        "report": save_temp(report.to_html(attribution), folder, "report"),
        "sheets": [_sheet(name, image, folder) for name, image in sheet.shown(attribution).items()],
    }
    for i, (entry, image) in enumerate(zip(data["images"], attribution.images, strict=True)):
        headline, detail = wording.verdict_parts(image, unit)
        picture = placed.picture(attribution, i, PICTURE)
        drawn, scale = placed.layers(attribution, i, size=LAYER)
        entry |= {
            "headline": headline,
            "detail": detail,
            "null": _null(distribution.of(attribution, image)),
            "sentence": wording.verdict_sentence(image, unit),
            "named": list(wording.contenders(image)),
            "size": list(picture.size),
            "picture": save_temp(picture, folder, image.image),
            "scale": scale,
            "heatmaps": [
                {"group": o.group, **save_temp(o.image, folder, f"{image.image} {o.group}")}
                for o in drawn
            ],
        }
    return _shown(report.tables.finite(data))


def _sheet(style: str, image: Image.Image, folder: Path) -> dict[str, Any]:
    from ..guda.report.sheet import thumbnail

    small = thumbnail(image)
    small.thumbnail((THUMB, THUMB))
    return {
        "group": style,
        "thumb": save_temp(small, folder, f"{style} thumb"),
        "file": save_temp(image, folder, f"{style} sheet"),
    }


def _null(drawn) -> dict[str, Any] | None:
    """The null distribution: heights and places from 0 to 1."""
    return drawn and {"bars": drawn.bars, "mark": drawn.mark, "cut": drawn.cut}


def _shown(value: Any) -> Any:
    """`value` with texts as the page may show them: what a reader would not see is spelled out."""
    if isinstance(value, dict):
        return {visible(key): _shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return visible(value) if isinstance(value, str) else value
