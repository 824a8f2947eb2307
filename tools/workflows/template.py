"""What an example workflow is: its graph, its layout, its words. See `templates.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..comfy.graphs import Graph
from ..comfy.server import PACK_ROOT

Box = tuple[str, float, float, float, float]
BLUE, AMBER = "#3f789e", "#a1660a"


@dataclass(frozen=True)
class Template:
    """A graph, where its nodes lie (title, x, y, width, height), its groups, and its note."""

    name: str
    graph: Graph
    layout: dict[int, Box]
    groups: dict[str, tuple[float, float, float, float, str]]
    shown: tuple[float, float, float]  # left, top and width of what the picture shows
    note: str
    note_height: int = 230
    runs: bool = False
    """On the built-in model: its picture is taken after a run."""

    @property
    def path(self) -> Path:
        return PACK_ROOT / "example_workflows" / f"{self.name}.json"
