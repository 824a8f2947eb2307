"""What a worker keeps between units: the model once per process, and the desk of one job."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..diffusion import Backbone
from ..diffusion.identity import differences
from ..errors import GudaError
from ..version import __version__
from . import lease
from .job import Told


class RefusedError(Exception):
    """This worker cannot do any unit of the job; others may."""


@dataclass
class Desk:
    """What a worker keeps between the units of one job."""

    job: Told
    backbone: Any
    """The Backbone; None where the job has none."""
    folder: Path
    """Of the results where it can be seen from here, else one of the worker's own."""
    shared: bool
    kept: dict[str, Any] = field(default_factory=dict)

    def lease(self, unit: Told) -> Path:
        return self.folder / lease.FOLDER / f"{unit['key']}.lease"


_model: tuple[Told, Backbone] | None = None
_desk: Desk | None = None


def prepared(job: Told, scratch: str | None) -> Desk:
    """The desk of the job, with the model that it wants. Raises RefusedError, GudaError."""
    global _model, _desk
    if _desk is not None and _desk.job["run"] == job["run"]:
        return _desk
    if job["version"] != __version__:
        raise RefusedError(f"it runs guda {__version__}, and the job is of guda {job['version']}")
    backbone = None
    if job["model"] is not None:
        if _model is None or _model[0] != job["model"]:
            from ..api import load_model

            _model = _desk = None  # before another is loaded
            try:
                _model = job["model"], load_model(**job["model"])
            except GudaError as error:
                raise RefusedError(str(error)) from None
        backbone = _model[1]
        _check(backbone, job)
    marked = Path(job["folder"], lease.FOLDER, f"{job['run']}{lease.MARK}").exists()
    folder = Path(job["folder"]) if marked else Path(tempfile.mkdtemp("", "guda-", scratch))
    _desk = Desk(job, backbone, folder, marked)
    return _desk


def _check(backbone: Backbone, job: Told) -> None:
    """Raises RefusedError for a model that is not the job's."""
    where = job["model"]["source"]
    if job["fingerprint"] not in (backbone.fingerprint, *backbone.aliases):
        raise RefusedError(
            f"the model {where} there has the fingerprint {backbone.fingerprint[:12]}, and the "
            f"job's has {job['fingerprint'][:12]}; give the right one with --model-path-on-workers"
        )
    now = {**backbone.identity, "weights": job["identity"].get("weights")}
    if changed := differences(job["identity"], now):
        raise RefusedError(f"the model {where} there has another {', '.join(changed)}")
