"""The whole job on the built-in model: groups, unlearning, pictures, attribution, report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .. import report
from ..backbone.files.load import DEMO, load
from ..config import ElboConfig, SampleConfig
from ..counterfactuals import CounterfactualSet
from ..counterfactuals.direct import DirectCounterfactuals
from ..files.temporary import sweep
from ..groups.draw import draw
from ..groups.pictures import save_png
from ..jobs.attribute import AttributeRequest, attribute
from ..jobs.sheet import sheets
from ..jobs.unlearn import UnlearnRequest, unlearn
from ..report.sheet import with_and_without
from ..scoring.null import NullPool
from ..scoring.pool_file import read_pool
from ..scoring.verdict import Attribution
from ..steps import Step, drain
from . import NULL, groups, prompts


@dataclass(frozen=True)
class DemoResult:
    direct: Attribution  # answered by the model itself, at once
    attribution: Attribution  # with counterfactuals
    report: report.SavedReport


SHEET = SampleConfig(steps=7)
"""Few, as drawing should not be what one waits for."""

Counterfactuals = CounterfactualSet | DirectCounterfactuals


def run_demo(
    out: Path,
    on_step: Callable[[Step], None] | None = None,
    on_answer: Callable[[Attribution], None] = lambda _: None,
) -> DemoResult:
    """Everything from nothing into `out`; a second run reuses what is there and agrees with it.

    on_answer: is given the direct answer, which is there long before the counterfactuals are. It is
    held against the null pool that comes with the model; the LoRAs' has none, and ranks alone.
    """
    backbone = load(DEMO)
    asked = prompts()
    drawn = drain(draw(backbone, asked, SampleConfig(seed=1)), on_step)
    sweep(out / "pictures")
    for prompt, picture in zip(asked, drawn, strict=True):
        save_png(picture, out / "pictures" / f"{prompt}.png")

    def ask(without: Counterfactuals, null: NullPool | None = None) -> Attribution:
        names = [f"{p}.png" for p in asked]
        request = AttributeRequest(backbone, without, list(drawn), names, asked, ElboConfig())
        held = replace(request, null=null, null_file=NULL.name if null else "")
        return drain(attribute(held), on_step)

    direct = ask(DirectCounterfactuals.of(groups()), read_pool(NULL))
    report.save(direct, out / "direct")
    on_answer(direct)
    made = drain(unlearn(UnlearnRequest(backbone, groups(), out / "counterfactuals")), on_step)
    drain(sheets(backbone, groups(), made, with_and_without, SHEET), on_step)
    attribution = ask(made)
    return DemoResult(direct, attribution, report.save(attribution, out))
