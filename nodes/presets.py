"""How thorough an answer is, for who does not want to think of numbers."""

from __future__ import annotations

from comfy_api.latest import io

from ..guda.config import DIRECT_EVALUATIONS, EVALUATIONS, ElboConfig

PRESETS = {"quick": 0.5, "normal": 1, "thorough": 4}
"""Of the usual number of evaluations. An interval is half as wide with four times as many."""


def preset_input():
    return io.Combo.Input(
        "preset",
        options=list(PRESETS),
        default="normal",
        optional=True,
        tooltip="How often the model is asked about each picture: quick takes half the time of "
        "normal; thorough takes four times as long, and its intervals are half as wide. A number "
        "in evaluations, among the advanced inputs, takes the preset's place.",
    )


def chosen(config: ElboConfig, preset: str | None, *, direct: bool) -> ElboConfig:
    """The settings with the preset's evaluations, where `config` leaves their number open."""
    times = PRESETS[preset or "normal"]
    if config.evaluations or times == 1:
        return config
    return config.replace(evaluations=int(times * (DIRECT_EVALUATIONS if direct else EVALUATIONS)))
