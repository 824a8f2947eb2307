"""Everything that an attribution leaves on disk."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..errors import SaveError
from ..files import slugify, write_atomically, write_text
from ..files.temporary import sweep
from ..scoring.verdict import Attribution
from . import heatmap, placed, side_by_side, wording
from .card import card
from .charts import bars
from .html import to_html
from .tables import to_csv, to_dict, to_markdown

COMPLETE = "attribution.json"
OURS = re.compile(
    r"attribution\.(json|csv|md)|report\.html|(card|chart|heatmaps)-\d+\.png"
    r"|heatmap-\d+-[a-z0-9-]+\.png"
)
"""What a report consists of."""


@dataclass(frozen=True)
class SavedReport:
    """Where a report's files lie; pictures are numbered from 1."""

    folder: Path
    html: Path
    json: Path
    csv: Path
    markdown: Path
    cards: tuple[Path, ...]  # card-<n>.png: verdict, bars, numbers and heat maps on one sheet
    charts: tuple[Path, ...]  # chart-<n>.png
    heatmaps: tuple[Path, ...]  # heatmaps-<n>.png: the leading groups side by side
    overlays: tuple[Path, ...]  # heatmap-<n>-<slug>.png: one group, with its legend


def save(
    attribution: Attribution,
    folder: Path,
    *,
    top: int = heatmap.LEADING,
    metadata: Mapping[str, str] | None = None,
) -> SavedReport:
    """Write every form of the report into `folder`, which is made if need be.

    top: leading groups per picture that get a heat map. metadata: text for every PNG. Raises
    SaveError; a file is written whole or not at all, attribution.json last, so that a folder which
    has it is complete. No file of an earlier report stays in the folder.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(
            f"{folder} could not be made ({error.strerror}): choose another folder."
        ) from error
    clear(folder)
    cards, charts, sheets, singles = [], [], [], []
    for i in range(len(attribution.images)):
        cards.append(folder / f"card-{i + 1}.png")
        charts.append(folder / f"chart-{i + 1}.png")
        sheets.append(folder / f"heatmaps-{i + 1}.png")
        drawn = {
            cards[-1]: card(attribution, i),
            charts[-1]: bars(attribution, i),
            sheets[-1]: side_by_side.sheet(attribution, i, top=top),
        }
        alone = _overlays(attribution, i, folder, top)
        singles += alone
        for path, image in (drawn | alone).items():
            _png(path, image, metadata or {})
    report = SavedReport(
        folder=folder,
        html=folder / "report.html",
        json=folder / COMPLETE,
        csv=folder / "attribution.csv",
        markdown=folder / "attribution.md",
        cards=tuple(cards),
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


def clear(folder: Path) -> None:
    """Remove the files of an earlier report, and nothing else. Raises SaveError."""
    sweep(folder)
    # First what says that the report is complete.
    for path in sorted(folder.iterdir(), key=lambda p: p.name != COMPLETE):
        if not OURS.fullmatch(path.name) or path.is_dir():
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise SaveError(
                f"{path} is of an earlier report and could not be removed ({error.strerror}): "
                "close what has it open, or choose another folder."
            ) from error


def _overlays(
    attribution: Attribution, index: int, folder: Path, top: int
) -> dict[Path, Image.Image]:
    drawn, scale = placed.overlays(attribution, index, top=top)
    unit, made = wording.unit(attribution), {}
    for overlay in drawn:
        path = folder / f"heatmap-{index + 1}-{slugify(overlay.group)}.png"
        if path in made:  # two names with one slug
            path = path.with_stem(f"{path.stem}-{len(made) + 1}")
        made[path] = heatmap.with_legend(overlay.image, scale, overlay.group, unit)
    return made


def _png(path: Path, image: Image.Image, metadata: Mapping[str, str]) -> None:
    info = PngInfo()
    for key, text in metadata.items():
        info.add_text(key, text)
    write_atomically(path, lambda temporary: image.save(temporary, "PNG", pnginfo=info))
