"""What the models differ by on pictures, kept on disk by everything that it depends on.

<folder>/<key>.safetensors    one attribution's differences, and its pictures as they are shown

Only of models whose record is whole: what a ComfyUI graph samples with (`unrepeatable`), or loads
for one prompt, is asked anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..counterfactuals.direct import DirectCounterfactuals
from ..diffusion.identity import name as name_of
from ..diffusion.noise import picture_key
from ..errors import SaveError
from ..files import write_bytes
from ..scoring.differences import Differences
from ..scoring.elbo import Points
from ..settings import digest
from ..steps import Heard, Steps, warn
from . import measuring

if TYPE_CHECKING:
    from .attribute import AttributeWork

FORMAT = 1
MOST = 1 << 30  # bytes of a folder; beyond it, what was used longest ago goes
_UNREADABLE = (OSError, SafetensorError, KeyError, ValueError)


def measured(
    work: AttributeWork, look: bool, measure: measuring.Measure = measuring.measure
) -> Steps[tuple[measuring.Shown, Differences]]:
    """`measure`, or what it gave before, warnings and all, without asking the model."""
    path = file_of(work)
    if path is None:
        return (yield from measure(work, look))
    known = _read(path)
    if known is not None:
        for text in known[2]:
            yield warn(text)
        os.utime(path)
        return known[0], known[1]
    heard = Heard()
    shown, gaps = yield from heard(measure(work, look))
    try:
        write_bytes(path, _packed(shown, gaps, heard.texts))
        _sweep(path.parent, but=path)
    except SaveError as error:
        yield warn(f"The scores could not be kept for another run: {error}")
    return shown, gaps


def is_known(work: AttributeWork) -> bool:
    """Whether an earlier run has asked the same; its numbers are not read for that."""
    path = file_of(work)
    if path is None:
        return False
    try:
        with safe_open(path, "pt") as file:  # which refuses a file that is cut short
            return bool(_told(file))
    except _UNREADABLE:
        return False


def file_of(work: AttributeWork) -> Path | None:
    """None where nothing is kept."""
    request, backbone = work.request, work.request.backbone
    if request.kept is None or getattr(backbone, "unrepeatable", ""):
        return None
    weighs = getattr(backbone, "weighs_prompts", None)
    if any("embedding:" in p.lower() for p in work.prompts):
        return None  # the file of an embedding may change
    given = request.pictures if request.latents is None else list(request.latents)
    without = request.counterfactuals
    told = (
        (without.styles, without.template)
        if isinstance(without, DirectCounterfactuals)
        else [(e.name, e.key) for e in without.entries]
    )
    key = digest(
        FORMAT,
        name_of({**backbone.identity, "weights": backbone.fingerprint}),
        str(getattr(backbone, "precision", "")),
        [callable(weighs) and weighs(p) for p in work.prompts],
        told,
        work.config.as_key(),
        request.latents is None,
        [picture_key(p) for p in given],
        [picture_key(p) for p in request.pictures],
        list(work.prompts),
        list(_conditions(work)),
    )
    return request.kept / f"{key}.safetensors"


def _conditions(work: AttributeWork) -> Iterator[str]:
    conditions = work.request.conditions
    if conditions is not None:
        tensors = [conditions.embeds, conditions.lengths(), *conditions.added.values()]
        yield from map(picture_key, tensors)


def _packed(shown: measuring.Shown, gaps: Differences, warnings: tuple[str, ...]) -> bytes:
    tensors = {
        "contributions": torch.from_numpy(gaps.contributions),
        "elbo": torch.from_numpy(gaps.elbo),
        "full": torch.from_numpy(gaps.full),
        "t": gaps.points.t,
        "draw": gaps.points.draw,
        "weight": gaps.points.weight,
    }
    for i, (picture, heat) in enumerate(zip(shown, gaps.maps, strict=True)):
        tensors |= {f"shown {i}": picture, f"map {i}": heat}
    told = {
        "strata": gaps.points.strata,
        "evaluations": gaps.unet_evaluations,
        "together": [isinstance(shown, Tensor), isinstance(gaps.maps, Tensor)],
        "warnings": warnings,
    }
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(whole, {"told": json.dumps(told)})


def _told(file: Any) -> dict[str, Any]:
    return json.loads((file.metadata() or {})["told"])


def _read(path: Path) -> tuple[measuring.Shown, Differences, list[str]] | None:
    """None where there is nothing, or nothing whole."""
    try:
        with safe_open(path, "pt") as file:
            told = _told(file)
            held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except _UNREADABLE:
        return None
    count = len(held["elbo"])
    shown, maps = (
        torch.stack(parts) if together else tuple(parts)
        for parts, together in zip(
            ([held[f"{part} {i}"] for i in range(count)] for part in ("shown", "map")),
            told["together"],
            strict=True,
        )
    )
    strata = tuple((a, b) for a, b in told["strata"])
    gaps = Differences(
        held["contributions"].numpy(),
        maps,
        held["elbo"].numpy(),
        Points(held["t"], held["draw"], held["weight"], strata),
        told["evaluations"],
        held["full"].numpy(),
    )
    return shown, gaps, told["warnings"]


def _sweep(folder: Path, but: Path) -> None:
    """Takes away what was used longest ago, down to MOST bytes."""
    files = [(p, p.stat()) for p in folder.glob("*.safetensors") if p != but]
    room = MOST - but.stat().st_size
    for path, stat in sorted(files, key=lambda f: -f[1].st_mtime):
        room -= stat.st_size
        if room < 0:
            path.unlink(missing_ok=True)
