"""Everything that an attribution leaves on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from .. import heatmap, wording
from ..attribution import Attribution
from ..errors import SaveError
from ..files import slugify, write_atomically, write_text
from .charts import bars
from .html import to_html
from .tables import to_csv, to_dict, to_markdown


@dataclass(frozen=True)
class SavedReport:
    """Where a report's files lie; pictures are numbered from 1."""

    folder: Path
    html: Path
    json: Path
    csv: Path
    markdown: Path
    charts: tuple[Path, ...]  # chart-<n>.png
    heatmaps: tuple[Path, ...]  # heatmaps-<n>.png: the leading groups side by side
    overlays: tuple[Path, ...]  # heatmap-<n>-<slug>.png: one group, with its legend


def save(attribution: Attribution, folder: Path, *, top: int = 4) -> SavedReport:
    """Write every form of the report into `folder`, which is made if need be.

    top: leading groups per picture that get a heat map. Raises SaveError; a file is written whole
    or not at all, attribution.json last, so that a folder which has it is complete.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(
            f"{folder} could not be made ({error.strerror}): choose another folder."
        ) from error
    charts, sheets, singles = [], [], []
    for i in range(len(attribution.images)):
        charts.append(_png(folder / f"chart-{i + 1}.png", bars(attribution, i)))
        sheets.append(
            _png(folder / f"heatmaps-{i + 1}.png", heatmap.sheet(attribution, i, top=top))
        )
        singles += _overlays(attribution, i, folder, top)
    report = SavedReport(
        folder=folder,
        html=folder / "report.html",
        json=folder / "attribution.json",
        csv=folder / "attribution.csv",
        markdown=folder / "attribution.md",
        charts=tuple(charts),
        heatmaps=tuple(sheets),
        overlays=tuple(singles),
    )
    write_text(report.html, to_html(attribution, top=top))
    write_text(report.csv, to_csv(attribution))
    write_text(report.markdown, to_markdown(attribution))
    data = json.dumps(to_dict(attribution), ensure_ascii=False, indent=1, allow_nan=False)
    write_text(report.json, data + "\n")
    return report


def _overlays(attribution: Attribution, index: int, folder: Path, top: int) -> list[Path]:
    drawn, scale = heatmap.overlays(attribution, index, top=top)
    unit, written = wording.unit(attribution), []
    for overlay in drawn:
        path = folder / f"heatmap-{index + 1}-{slugify(overlay.group)}.png"
        if path in written:  # two names with one slug
            path = path.with_stem(f"{path.stem}-{len(written) + 1}")
        captioned = heatmap.with_legend(overlay.image, scale, overlay.group, unit)
        written.append(_png(path, captioned))
    return written


def _png(path: Path, image: Image.Image) -> Path:
    write_atomically(path, lambda temporary: image.save(temporary, "PNG"))
    return path
