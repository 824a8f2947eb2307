"""The measuring of an attribution on a cluster, a part of it a unit; all else is done here.

The parts are those in which one machine measures (`measuring.in_parts`), so that the scores are the
same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..diffusion.identity import name as name_of
from ..diffusion.noise import picture_key
from ..errors import ClusterError, ConfigError
from ..files import write_bytes
from ..jobs import measuring
from ..jobs.attribute import AttributeWork
from ..jobs.measuring import Shown
from ..scoring import parts
from ..scoring.differences import Differences
from ..settings import digest
from ..steps import Step, Steps, warn
from .board import Board
from .job import Source, Told, Unit, job
from .marked import marked
from .measure_unit import packed, unpacked
from .score_unit import told_of
from .units import Units

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class Clustered:
    """`measuring.measure`, done by the workers of a cluster. folder: of what they have finished."""

    client: Client
    source: Source
    folder: Path
    patience: float = 900.0

    def __call__(self, work: AttributeWork, look: bool) -> Steps[tuple[Shown, Differences]]:
        """Raises ClusterError where a unit was given up, or the cluster is gone; what is finished
        stays, and is not done again."""
        check(work)
        groups = measuring.in_parts(work)
        told = job(
            work.request.backbone,
            self.source,
            self.folder,
            self.patience,
            without=told_of(work.request.counterfactuals),
            config=work.request.config.as_dict(),
        )
        warnings: list[str] = []

        def result(unit: Unit, answer: Told) -> list[Unit]:
            for name, data in answer.get("files", {}).items():
                write_bytes(self.folder / name, data)
            warnings.extend(answer.get("warnings", ()))
            return []

        keys = [_key(work, some) for some in groups]
        files = [self.folder / f"{key}.safetensors" for key in keys]
        left = [i for i, file in enumerate(files) if not file.is_file()]
        yield Step("score", 0, len(groups))
        if left:
            board = Board("score", (), self.client.dashboard_link or "", len(left))
            with marked(self.folder, told):
                running = Units(self.client, told, board, result)
                failures = yield from running.run(
                    _unit(work, groups[i], keys[i], look and i == 0) for i in left
                )
            for text in dict.fromkeys(warnings):
                yield warn(text)
            if failures:
                raise ClusterError(
                    f"{failures[0]}. {len(left) - len(failures)} of {len(left)} units are "
                    "finished and kept; run again to go on."
                )
        read = [unpacked(file) for file in files]
        order = [i for some in groups for i in some]
        pictures = [picture for shown, _ in read for picture in shown]
        place = [order.index(i) for i in range(len(work))]
        return parts.in_order(pictures, place), parts.joined([g for _, g in read], groups)


def check(work: AttributeWork) -> None:
    """Raises ConfigError for what cannot be measured in parts."""
    if work.config.schedule == "importance":
        raise ConfigError(
            "schedule is 'importance', which chooses noise levels by all pictures together; give "
            "log or uniform, or leave the cluster out."
        )
    if work.request.conditions is not None:
        raise ConfigError(
            "positive is linked, whose conditioning is not sent to a cluster; give the prompt's "
            "text, or leave the cluster out."
        )


def _unit(work: AttributeWork, some: list[int], key: str, look: bool) -> Unit:
    request = work.request
    names = [request.names[i] for i in some]
    latents = request.latents
    what = {
        "names": names,
        "prompts": [work.prompts[i] for i in some],
        "latents": latents is not None,
        "pictures": packed(
            [request.pictures[i] for i in some] if latents is None else list(latents[some])
        ),
        "look": look,
        "file": f"{key}.safetensors",
    }
    return Unit(key, "measure", f"pictures {names[0]} to {names[-1]}", 1, what)


def _key(work: AttributeWork, some: list[int]) -> str:
    """Names all that the unit's answers depend on."""
    request = work.request
    identity = {**request.backbone.identity, "weights": request.backbone.fingerprint}
    pictures = request.pictures if request.latents is None else request.latents
    seen = [[picture_key(pictures[i]), list(pictures[i].shape), work.prompts[i]] for i in some]
    asked = told_of(request.counterfactuals), request.config.as_key()
    return digest(name_of(identity), *asked, request.latents is None, seen)[:24]
