"""The job that attributes: its typed request, and the stages joined."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..budget.rows import for_scoring
from ..config import ElboConfig
from ..counterfactuals import CounterfactualSet
from ..diffusion import Backbone
from ..diffusion.noise import picture_key
from ..errors import CounterfactualError, ImageError
from ..groups import prompts as doubted
from ..groups.pictures import fit
from ..scoring import explains
from ..scoring.differences import Differences, score_queries
from ..scoring.elbo import Query
from ..scoring.verdict import Attribution, ImageScores, score
from ..steps import Step, Steps, about, keeps_warnings
from ..version import __version__


@dataclass(frozen=True)
class AttributeRequest:
    """Score pictures (a list of (3, H, W) tensors in [0, 1]) against a counterfactual set.

    latents: (n, c, h, w), scaled as the UNet expects them, scored in place of the pictures, which
    then need not be given: they are only shown.
    """

    backbone: Backbone
    counterfactuals: CounterfactualSet
    pictures: Sequence[Tensor]
    names: Sequence[str]
    prompts: Sequence[str]
    config: ElboConfig = field(default_factory=ElboConfig)
    latents: Tensor | None = None


@keeps_warnings
def attribute(request: AttributeRequest) -> Steps[Attribution]:
    """The scores of every picture. Raises GudaError before anything is computed on bad input."""
    backbone, counterfactuals = request.backbone, request.counterfactuals
    count = len(request.pictures) if request.latents is None else len(request.latents)
    if not count:
        raise ImageError("No picture was given; give at least one.")
    prompts = list(request.prompts)
    if len(prompts) == 1:
        prompts *= count
    if len(prompts) != count:
        raise ImageError(
            f"{len(prompts)} prompts were given for {count} pictures; give one "
            "prompt for all, or one per picture."
        )
    if len(request.names) != count:
        raise ImageError(
            f"{len(request.names)} names were given for {count} pictures; give one per picture."
        )
    if not counterfactuals.entries:
        raise CounterfactualError(
            f"The counterfactual set {counterfactuals.folder} holds no style; unlearn some first."
        )
    counterfactuals.verify(backbone)
    yield from about(backbone, counterfactuals)
    yield from doubted.warnings(backbone, prompts)
    started = time.monotonic()
    loras = {e.name: counterfactuals.load(e, backbone) for e in counterfactuals.entries}
    latents = request.latents
    fitted = torch.empty(0)
    if latents is None:
        fitted = torch.stack([fit(p, backbone.resolution) for p in request.pictures])
    yield Step("encode", 0, count)
    if latents is None:
        latents, keys = backbone.encode_images(fitted), tuple(picture_key(p) for p in fitted)
    else:
        keys = tuple(picture_key(x) for x in latents)
        fitted = _shown(request.pictures, backbone.decode(latents))
    query = Query(latents, backbone.encode_prompts(prompts), keys)
    yield from explains.check(backbone, query)
    first, most = next(iter(loras.values())), request.config.batch_size
    room = for_scoring(backbone, first, most, latents.shape[1:])
    found = yield from score_queries(backbone, loras, query, request.config, room)
    return _assemble(request, prompts, fitted, found, time.monotonic() - started)


def few_asked(request: AttributeRequest, most: int) -> Query:
    """At most `most` of the pictures, evenly chosen, encoded."""
    pictures, latents, backbone = request.pictures, request.latents, request.backbone
    count = len(pictures) if latents is None else len(latents)
    chosen = [i * count // min(most, count) for i in range(min(most, count))]
    if latents is None:
        fitted = torch.stack([fit(pictures[i], backbone.resolution) for i in chosen])
        latents, keys = backbone.encode_images(fitted), tuple(picture_key(p) for p in fitted)
    else:
        latents = latents[chosen]
        keys = tuple(picture_key(x) for x in latents)
    prompts = request.prompts if len(request.prompts) == count else list(request.prompts) * count
    return Query(latents, backbone.encode_prompts([prompts[i] for i in chosen]), keys)


def _shown(pictures: Sequence[Tensor], decoded: Tensor) -> Tensor:
    """The pictures that were given beside their latents, if they are of the same size."""
    same = [p for p in pictures if p.shape == decoded.shape[1:]]
    return torch.stack(same) if len(same) == len(decoded) else decoded


def _assemble(
    request: AttributeRequest,
    prompts: Sequence[str],
    fitted: Tensor,
    found: Differences,
    seconds: float,
) -> Attribution:
    groups = request.counterfactuals.names
    images = []
    for i, (name, prompt) in enumerate(zip(request.names, prompts, strict=True)):
        scores, outcome = score(groups, found.contributions[i], request.config.confidence)
        images.append(ImageScores(name, prompt, outcome, scores, float(found.elbo[i])))
    i, k, p = found.contributions.shape
    profile = torch.from_numpy(found.contributions.reshape(i, k, p // 2, 2).sum(-1))
    return Attribution(
        images=tuple(images),
        groups=groups,
        pictures=fitted,
        maps=found.maps,
        profile=profile,
        strata=found.points.strata,
        full_model={"name": request.backbone.name, "fingerprint": request.backbone.fingerprint},
        estimate=request.config.as_dict(),
        unet_evaluations=found.unet_evaluations,
        seconds=seconds,
        version=__version__,
    )
