"""What an example workflow is: its graph, its layout, its words. See `templates.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..comfy.graphs import Graph, node
from ..comfy.server import PACK_ROOT

Box = tuple[str, float, float, float, float]
BLUE, AMBER = "#3f789e", "#a1660a"


@dataclass(frozen=True)
class Template:
    """A graph, its place among the others, where its nodes lie (title, x, y, width, height)."""

    name: str
    number: int
    graph: Graph
    layout: dict[int, Box]
    groups: dict[str, tuple[float, float, float, float, str]]
    shown: tuple[float, float, float]  # left, top and width of what the picture shows
    note: str
    note_height: int = 230
    runs: bool = False
    """On the built-in model: its picture is taken after a run."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """For the page: what it is as an app."""

    @property
    def path(self) -> Path:
        """The page lists them by the names of their files, hence the number before it."""
        told = f"{self.number} {self.name.replace('_', ' ')}"
        return PACK_ROOT / "example_workflows" / f"{told}.json"


def one_picture(
    model: Mapping[str, Any], groups: Any, unlearn: Mapping[str, Any], draw: Mapping[str, Any],
    attribute: Mapping[str, Any], report: str, preview: Any,
) -> Graph:  # fmt: skip
    """Model, groups, unlearning, a picture that is drawn, attribution, results.

    groups and preview are nodes, what the others are given besides their links; report: its prefix.
    """
    linked: dict[str, Any] = {"model": ["1", 0]}
    sets: dict[str, Any] = {"counterfactuals": ["3", 0]}
    return {
        "1": node("GudaLoadModel", **model),
        "2": groups,
        "3": node("GudaUnlearn", **linked, groups=["2", 0], **unlearn),
        "4": node("GudaGeneratePictures", **linked, seed=1, **draw),
        "5": node("GudaAttribute", **linked, **sets, image=["4", 0], prompt=["4", 1], **attribute),
        "6": node("GudaHeatMap", attribution=["5", 0]),
        "7": node("GudaSaveReport", attribution=["5", 0], filename_prefix=report),
        "8": preview,
        "9": node("PreviewAny", source=["3", 2]),
        "10": node("PreviewImage", images=["4", 0]),
        "11": node("PreviewImage", images=["6", 0]),
    }
