"""What a worker is told: plain JSON values, the same for every unit of a job, and its units."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..diffusion import Backbone
from ..groups import Example, Group, StyleGroups
from ..steps import Step
from ..version import __version__

Told = dict[str, Any]


@dataclass(frozen=True)
class Unit:
    """A piece of work that needs nothing of the others at work."""

    key: str
    """Names what its result depends on."""
    kind: str  # of `worker.KINDS`
    name: str  # for people
    size: int  # steps
    what: Mapping[str, Any]  # JSON values, for the worker

    def told(self) -> Told:
        return asdict(self)


@dataclass(frozen=True)
class Source:
    """Where workers load the model from, and how; as `guda.load_model` has it."""

    source: str
    device: str = "auto"
    precision: str = "auto"
    prediction: str = "auto"
    resolution: int = 0
    vae: str | None = None
    tokenizer: str | None = None


def bare(folder: Path, patience: float, **more: Any) -> Told:
    """The same for units that load no model of their own: `model` is None."""
    return {
        "run": uuid.uuid4().hex,
        "version": __version__,
        "model": None,
        "folder": str(folder.absolute()),
        "patience": patience,
        **more,
    }


def job(backbone: Backbone, source: Source, folder: Path, patience: float, **more: Any) -> Told:
    """What all units of a job have in common. folder: of the results, as this machine sees it."""
    told = {
        "model": asdict(source),
        "name": backbone.name,
        "fingerprint": backbone.fingerprint,
        "identity": dict(backbone.identity),
    }
    return bare(folder, patience, **more) | told


def groups_to_json(groups: StyleGroups) -> Told:
    rows = [
        {
            **{k: getattr(g, k) for k in ("name", "slug", "style")},
            "descriptors": list(g.descriptors),
            "examples": [
                {**asdict(e), "path": None if e.path is None else str(e.path.absolute())}
                for e in g.examples
            ],
        }
        for g in groups
    ]
    return {"groups": rows, "source": groups.source, "hash": groups.manifest_hash}


def groups_from_json(told: Told) -> StyleGroups:
    """Without what was remarked of the folder they come from."""

    def example(row: Told) -> Example:
        path = row["path"]
        return Example(**{**row, "path": None if path is None else Path(path)})

    groups = tuple(
        Group(**{**row, "examples": tuple(map(example, row["examples"]))}) for row in told["groups"]
    )
    return StyleGroups(groups, told["source"])


def texts(steps: Iterable[Step]) -> list[str]:
    """The warnings among `steps`."""
    return [step.warning for step in steps if step.warning]


def topic(job: Told) -> str:
    """Of the events by which workers report."""
    return f"guda-{job['run']}"
