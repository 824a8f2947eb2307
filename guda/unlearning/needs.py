"""What a recipe needs of a model."""

from __future__ import annotations

from ..config import UnlearnConfig
from ..diffusion import Backbone
from ..errors import ConfigError
from ..variants import OPERATORS


def check_needs(backbone: Backbone, config: UnlearnConfig) -> None:
    """Raises ConfigError for a recipe that needs what the model does not have."""
    operator = OPERATORS[config.operator]
    if operator.needs_prompts and not backbone.conditional:
        raise ConfigError(
            f"operator is {config.operator!r}, which needs prompts, and the model {backbone.name} "
            "takes none; choose retrack."
        )
    if config.lr_probe == "auto" and not (backbone.conditional or operator.needs_neighbours):
        raise ConfigError(
            f"lr_probe is 'auto', but with the operator {config.operator!r} the model "
            f"{backbone.name} has no target to try rates against; give lr, and lr_probe never."
        )
    if config.unlearn_resolution:
        _check_resolution(backbone, config)


def _check_resolution(backbone: Backbone, config: UnlearnConfig) -> None:
    side, own, multiple = config.unlearn_resolution, backbone.resolution, backbone.multiple
    told = f"unlearn_resolution is {side}"
    if not multiple:
        raise ConfigError(
            f"{told}, but the model {backbone.name} takes pictures of {own} pixels only; leave it "
            "at 0."
        )
    if side % multiple or side > own:
        raise ConfigError(
            f"{told}; give a multiple of {multiple} up to {own}, the resolution of the model "
            f"{backbone.name}, or 0."
        )
    if OPERATORS[config.operator].needs_neighbours:
        raise ConfigError(
            f"{told}, but the operator {config.operator!r} looks for the pictures that are nearest "
            "at the model's size; leave it at 0, or choose another operator."
        )
