"""An attribution of what the models differ by on the pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..counterfactuals import CounterfactualSet
from ..counterfactuals.direct import DirectCounterfactuals
from ..groups.pictures import as_rgb
from ..scoring.differences import Differences
from ..scoring.verdict import Attribution, ImageScores, score
from ..version import __version__
from . import sheet
from .measuring import Shown
from .origin import origin_of

if TYPE_CHECKING:
    from .attribute import AttributeRequest, AttributeWork


def assembled(work: AttributeWork, shown: Shown, gaps: Differences, seconds: float) -> Attribution:
    """The scores of every picture, without what is told of them afterwards."""
    request, groups = work.request, work.request.counterfactuals.names
    estimate = work.config.as_dict()
    images = []
    for i, (name, prompt) in enumerate(zip(request.names, work.prompts, strict=True)):
        at = (gaps.contributions[i], work.config.confidence)
        scores, outcome = score(groups, *at, request.spread)
        images.append(ImageScores(name, prompt, outcome, scores, float(gaps.elbo[i])))
    i, k, p = gaps.contributions.shape
    profile = torch.from_numpy(gaps.contributions.reshape(i, k, p // 2, 2).sum(-1))
    return Attribution(
        images=tuple(images),
        groups=groups,
        pictures=shown,
        maps=gaps.maps,
        profile=profile,
        strata=gaps.points.strata,
        full_model={"name": request.backbone.name, "fingerprint": request.backbone.fingerprint},
        estimate={k: v for k, v in estimate.items() if k != "mixture" or not work.loras},
        direct=not work.loras,
        certificates=_certificates(request.counterfactuals),
        sheets=sheet.of_set(request.counterfactuals),
        spread=request.spread,
        origin=origin_of(
            request.backbone,
            request.counterfactuals,
            request.latents,
            request.conditions is not None,
        ),
        originals=_originals(request),
        unet_evaluations=gaps.unet_evaluations,
        seconds=seconds,
        version=__version__,
    )


def _originals(request: AttributeRequest) -> tuple[Tensor, ...]:
    """None beside latents, which are scored whole."""
    if request.latents is not None:
        return ()
    return tuple((as_rgb(p) * 255).round().byte() for p in request.pictures)


def _certificates(without: CounterfactualSet | DirectCounterfactuals) -> dict[str, str]:
    """By style; empty for direct counterfactuals."""
    if isinstance(without, DirectCounterfactuals):
        return {}
    return {e.name: e.certified for e in without.entries}
