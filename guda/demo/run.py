"""The whole job on the built-in model: groups, unlearning, pictures, attribution, report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import report
from ..backbone.files.load import DEMO, load
from ..config import ElboConfig, SampleConfig
from ..files.temporary import sweep
from ..groups.draw import draw
from ..groups.pictures import save_png
from ..jobs.attribute import AttributeRequest, attribute
from ..jobs.unlearn import UnlearnRequest, unlearn
from ..scoring.verdict import Attribution
from ..steps import Step, drain
from . import groups, prompts


@dataclass(frozen=True)
class DemoResult:
    attribution: Attribution
    report: report.SavedReport


def run_demo(out: Path, on_step: Callable[[Step], None] | None = None) -> DemoResult:
    """Everything from nothing into `out`; a second run reuses what is there and agrees with it."""
    backbone = load(DEMO)
    made = drain(unlearn(UnlearnRequest(backbone, groups(), out / "counterfactuals")), on_step)
    asked = prompts()
    drawn = drain(draw(backbone, asked, SampleConfig(seed=1)), on_step)
    sweep(out / "pictures")
    for prompt, picture in zip(asked, drawn, strict=True):
        save_png(picture, out / "pictures" / f"{prompt}.png")
    request = AttributeRequest(
        backbone, made, list(drawn), [f"{p}.png" for p in asked], asked, ElboConfig()
    )
    attribution = drain(attribute(request), on_step)
    return DemoResult(attribution, report.save(attribution, out))
