"""What follows the unlearning of a set where it is asked for: recoveries, then sheets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..guda.steps import Steps
from . import settings

if TYPE_CHECKING:
    from ..guda.counterfactuals import CounterfactualSet
    from ..guda.jobs.plan import Plan
    from ..guda.jobs.unlearn import UnlearnWork


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


@dataclass(frozen=True)
class After:
    sheet: bool
    recovery: bool

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> After:
        return cls(values.get("sheet", True), values.get("recovery", False))

    @property
    def asked(self) -> bool:
        return self.sheet or self.recovery

    def priced(self, work: UnlearnWork) -> Steps[Plan]:
        """The price of the work and of what follows it."""
        from ..guda.jobs import recovery, sheet

        sheets = sheet.missing(work) if self.sheet else 0
        price = sheet.priced(work.price(), work.request.backbone, sheets)
        return recovery.priced(price, work) if self.recovery else price

    def whole(self, work: UnlearnWork) -> Steps[CounterfactualSet]:
        """Runs the work and what follows it."""
        made = yield from work.run()
        return (yield from self.of(work, made))

    def of(self, work: UnlearnWork, made: CounterfactualSet) -> Steps[CounterfactualSet]:
        """Runs what follows the work, which made this."""
        from ..guda.jobs import recovery, sheet
        from ..guda.report.sheet import with_and_without

        if self.recovery:
            made = yield from recovery.with_recoveries(work, made)
        if self.sheet:
            yield from sheet.sheets(work.request.backbone, work.groups, made, with_and_without)
        return made
