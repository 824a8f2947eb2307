"""A few pictures of an attribution on a worker: what the models differ by on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import safetensors.torch as tensors
import torch
from torch import Tensor

from ..config import ElboConfig
from ..errors import ClusterError
from ..files import write_bytes
from ..jobs.attribute import AttributeRequest, AttributeWork, survey
from ..jobs.measuring import Shown, measure
from ..scoring.differences import Differences
from ..scoring.elbo import Points
from ..steps import Heard, Steps
from .desk import Desk
from .job import Told
from .score_unit import without_of


def perform(desk: Desk, unit: Told) -> Steps[Told]:
    """Writes the unit's file; returns `warnings`, and `files`, where the folder is not shared."""
    what = unit["what"]
    path = desk.folder / what["file"]
    if desk.shared and path.is_file():  # another run has made it
        return {}
    heard = Heard()
    shown, gaps = yield from heard(measure(_work(desk, what), what["look"]))
    data = _saved(shown, gaps)
    if desk.shared:
        write_bytes(path, data)
        return {"warnings": heard.texts}
    return {"warnings": heard.texts, "files": {what["file"]: data}}


def packed(pictures: Sequence[Tensor]) -> bytes:
    """Pictures or latents, of whatever shapes."""
    return tensors.save({f"{i:06d}": p.contiguous() for i, p in enumerate(pictures)})


def unpacked(path: Path) -> tuple[list[Tensor], Differences]:
    """The pictures as they are shown, and what a unit said of them. Raises ClusterError."""
    try:
        read = tensors.load(path.read_bytes())
        strata = tuple((a, b) for a, b in json.loads(bytes(read["strata"].tolist())))
        shown = [read[k] for k in sorted(read) if k.startswith("shown")]
        return shown, Differences(
            read["contributions"].numpy(),
            read["maps"],
            read["elbo"].numpy(),
            Points(read["t"], read["draw"], read["weight"], strata),
            int(read["evaluations"]),
            read["full"].numpy(),
        )
    except Exception as error:
        raise ClusterError(f"{path} cannot be read ({error}); delete it and run again.") from error


def _saved(shown: Shown, gaps: Differences) -> bytes:
    """A unit's pictures are of one shape, and so are its maps."""
    strata = json.dumps(gaps.points.strata).encode()
    return tensors.save(
        {
            **{f"shown{i:06d}": p.float().cpu().contiguous() for i, p in enumerate(list(shown))},
            "contributions": torch.from_numpy(gaps.contributions),
            "maps": torch.stack(list(gaps.maps)),
            "elbo": torch.from_numpy(gaps.elbo),
            "full": torch.from_numpy(gaps.full),
            "t": gaps.points.t,
            "draw": gaps.points.draw,
            "weight": gaps.points.weight,
            "strata": torch.tensor(list(strata), dtype=torch.uint8),
            "evaluations": torch.tensor(gaps.unet_evaluations),
        }
    )


def _work(desk: Desk, what: Told) -> AttributeWork:
    """Of these pictures; the counterfactuals are read once for all units."""
    given = [p for _, p in sorted(tensors.load(what["pictures"]).items())]
    pictures, latents = ([], torch.stack(given)) if what["latents"] else (given, None)
    asked = {"names": what["names"], "prompts": what["prompts"]}
    asked |= {"pictures": pictures, "latents": latents}
    kept: AttributeWork | None = desk.kept.get("measuring")
    if kept is None:
        without, config = without_of(desk.job["without"]), ElboConfig(**desk.job["config"])
        request = AttributeRequest(desk.backbone, without, config=config, **asked)
        kept = desk.kept["measuring"] = survey(request)
    return replace(kept, request=replace(kept.request, **asked), prompts=tuple(asked["prompts"]))
