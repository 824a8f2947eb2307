"""What an attribution is computed from, as JSON values; see `scoring.origin`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from ..counterfactuals import CounterfactualSet
from ..counterfactuals.direct import DirectCounterfactuals
from ..diffusion import Backbone
from ..scoring.origin import Origin

GIVEN = "The prompts were given as a graph's conditioning, which is not in here."


def origin_of(
    backbone: Backbone,
    without: CounterfactualSet | DirectCounterfactuals,
    latents: Tensor | None,
    encoded: bool = False,
) -> Origin:
    """Of scores that `backbone` gives on pictures, or on latents; encoded: as are the prompts."""
    made = _origin(backbone, without, latents)
    reason = getattr(backbone, "unrepeatable", "") or (GIVEN if encoded else "")
    return replace(made, unrepeatable=reason)


def _origin(
    backbone: Backbone, without: CounterfactualSet | DirectCounterfactuals, latents: Tensor | None
) -> Origin:
    model = {
        "name": backbone.name,
        "fingerprint": backbone.fingerprint,
        "identity": dict(backbone.identity),
        "overrides": dict(getattr(backbone, "overrides", {})),
        "precision": getattr(backbone, "precision", ""),
        "device": str(backbone.device),
    }
    files = tuple(getattr(backbone, "files", ()))
    if isinstance(without, DirectCounterfactuals):
        return Origin(model, _direct(without), files, latents=latents)
    loras = {e.name: without.path(e) for e in without.entries}
    return Origin(model, _unlearned(without), files, loras, latents)


def _direct(without: DirectCounterfactuals) -> dict[str, Any]:
    return {
        "kind": "direct",
        "id": without.id,
        "template": without.template,
        "styles": [{"name": name, "style": phrase} for name, phrase in without.styles],
    }


def _unlearned(without: CounterfactualSet) -> dict[str, Any]:
    return {
        "kind": "unlearned",
        "id": without.id,
        "set": without.folder.name,
        "base_model": without.base_model,
        "fingerprint": without.fingerprint,
        "groups_hash": without.groups_hash,
        "recipe": dict(without.recipe),
        "styles": [
            {
                "name": e.name,
                "style": e.style,
                "file": e.file,
                "key": e.key,
                "gate": e.gate.as_dict(),
                "certificate": e.certificate and e.certificate.as_dict(e.gate),
            }
            for e in without.entries
        ],
    }
