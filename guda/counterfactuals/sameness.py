"""Whether a set was made from the model at hand, in all that changes what is computed.

Sets note the model's `identity`. Those of version 0.1.0 note the weights alone; their keys tell
which settings were other than the model's own, and `Backbone.former` what the model was then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..config import UnlearnConfig
from ..diffusion import Backbone
from ..diffusion.identity import differences
from ..diffusion.schedule import PREDICTIONS
from ..errors import GudaError
from ..settings import digest

if TYPE_CHECKING:
    from .set import CounterfactualSet

_NO_EFFECT = {"checkpoint_every"}
_PARTS = {
    "resolution": "resolution",
    "prediction": "prediction",
    "alpha_bar": "noise schedule",
    "layer": "text encoder's layer (CLIP skip)",
}
"""What overrides of a model are called in its identity."""
_LARGEST, _DEEPEST = 4096, 32  # of the settings that are tried


def names(backbone: Backbone) -> tuple[str, ...]:
    """The fingerprints under which a set may note the model's weights."""
    return backbone.fingerprint, *backbone.aliases


def identity_of(backbone: Backbone, fingerprint: str) -> dict[str, Any]:
    """As a set notes it that calls the model's weights `fingerprint`."""
    return {k: fingerprint if k == "weights" else v for k, v in backbone.identity.items()}


def key_of(
    backbone: Backbone,
    fingerprint: str,
    groups_hash: str,
    name: str,
    config: UnlearnConfig,
    overrides: Mapping[str, Any],
) -> str:
    """Names everything that a finished counterfactual depends on, as version 0.1.0 did."""
    recipe = {k: v for k, v in config.as_key().items() if k not in _NO_EFFECT}
    recipe |= overrides
    if config.caption_dropout and backbone.conditional:
        recipe["teacher"] = "whole captions"  # those made before it was so are made again
    return digest(fingerprint, groups_hash, name, recipe)


def since(made: CounterfactualSet, backbone: Backbone) -> list[str]:
    """What differs between the model of a set and `backbone`, in words; [] if nothing does."""
    if made.identity:
        weights = made.identity.get("weights", "")
        now = backbone.fingerprint if weights not in names(backbone) else weights
        return differences(made.identity, identity_of(backbone, now))
    then = dict(backbone.former)
    overrides = _overrides_then(made, backbone)
    said: list[str] = []
    if overrides is not None:
        for name in {**overrides, **backbone.overrides}:
            part = _PARTS.get(name, name)
            then.pop(part, None)
            was, now = (x.get(name, "the model's own") for x in (overrides, backbone.overrides))
            if was != now:
                said.append(f"{part} ({was} then, {now} now)")
    return said + differences(then, backbone.identity)


def listed(changed: Sequence[str]) -> str:
    return ", ".join(changed[:-1]) + " and " + changed[-1] if len(changed) > 1 else changed[0]


def _overrides_then(made: CounterfactualSet, backbone: Backbone) -> Mapping[str, Any] | None:
    """With which overrides the first of the set was made; None where its key does not tell."""
    try:
        config = UnlearnConfig(**made.recipe)
    except (GudaError, TypeError, ValueError):
        return None
    for entry in made.entries[:1]:
        of = (made.fingerprint, made.groups_hash, entry.name, config)
        for overrides in _candidates(backbone.overrides):
            if key_of(backbone, *of, overrides) == entry.key:
                return overrides
    return None


def _candidates(now: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The overrides of today, without one or all of them, and with another value in one."""
    yield now
    yield {}
    for name in now:
        yield {k: v for k, v in now.items() if k != name}
    tried = {
        "prediction": PREDICTIONS,
        "layer": range(-_DEEPEST, 0),
        "resolution": range(8, _LARGEST + 1, 8),
    }
    for name, values in tried.items():
        for value in values:
            yield {**now, name: value}
