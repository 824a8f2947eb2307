"""What follows the unlearning of a set where it is asked for: recoveries, then sheets."""

from __future__ import annotations

from dataclasses import dataclass

from ..counterfactuals import CounterfactualSet
from ..steps import Steps
from . import recovery, sheet
from .plan import Plan
from .unlearn import UnlearnWork


@dataclass(frozen=True)
class After:
    """recovery: whether it is measured. render: of the sheets that are drawn, None for none."""

    recovery: bool = False
    render: sheet.Render | None = None

    @property
    def asked(self) -> bool:
        return self.recovery or self.render is not None

    def priced(self, work: UnlearnWork) -> Steps[Plan]:
        """The price of the work and of what follows it."""
        price = work.price()
        if self.render is not None:
            price = sheet.priced(price, work.request.backbone, sheet.missing(work))
        return recovery.priced(price, work) if self.recovery else price

    def whole(self, work: UnlearnWork) -> Steps[CounterfactualSet]:
        """Runs the work and what follows it."""
        made = yield from work.run()
        return (yield from self.of(work, made))

    def of(self, work: UnlearnWork, made: CounterfactualSet) -> Steps[CounterfactualSet]:
        """Runs what follows the work, which made this."""
        if self.recovery:
            made = yield from recovery.with_recoveries(work, made)
        if self.render is not None:
            yield from sheet.sheets(work.request.backbone, work.groups, made, self.render)
        return made
