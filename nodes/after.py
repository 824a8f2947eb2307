"""What follows the unlearning of a set where it is asked for: recoveries, then sheets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import settings

if TYPE_CHECKING:
    from ..guda.jobs.after import After


def sheet_input():
    return settings.flag(
        "sheet",
        True,
        "Draws a sheet beside every new LoRA: the style and one that was "
        "kept, with it and without it, from the same seeds. That takes 160 UNet "
        "evaluations per style, little beside its unlearning. Libraries of models "
        "show it as the LoRA's picture.",
    )


def recovery_input():
    return settings.flag(
        "recovery",
        False,
        "Measures how soon a style comes back, to tell forgotten from hidden: "
        "the steps on four of its pictures, against a look that was never there. At "
        "most 200 steps more per style, for finished LoRAs as well, which stay as "
        "they are. gate tells it.",
    )


def read(values: Mapping[str, Any]) -> After:
    """What is asked for by the inputs."""
    from ..guda.jobs.after import After
    from ..guda.report.sheet import with_and_without

    drawn = values.get("sheet", True)
    return After(values.get("recovery", False), with_and_without if drawn else None)
