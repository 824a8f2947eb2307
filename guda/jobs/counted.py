"""UNet evaluations of an unlearning: what its training, its gate and what is beside them ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config import UnlearnConfig
from ..counterfactuals import sampled
from ..diffusion import Backbone
from ..groups import Example, Group, split_heldout
from ..unlearning import probe, rates, seeds, stopping
from ..unlearning.batches import Batches
from ..unlearning.context import anchor_context
from ..variants import OPERATORS

if TYPE_CHECKING:
    from .unlearn import UnlearnWork


@dataclass(frozen=True)
class Counted:
    """What is left of an unlearning, in evaluations."""

    work: UnlearnWork

    @property
    def backbone(self) -> Backbone:
        return self.work.request.backbone

    @property
    def config(self) -> UnlearnConfig:
        return self.work.request.recipe

    @property
    def evaluations(self) -> dict[str, int]:
        """Pictures through the UNet, by stage, but for the look at the model."""
        work, guided = self.work, self.backbone.conditional
        left = [group for group, _ in work.left]
        trials = work.trial_steps * self.per_step + self._of_trials
        looks = sum(map(self._of_looks, left))
        return {
            "pictures": work.undrawn * work.request.sampling.steps * (1 + guided),
            **({"rate": trials} if work.trials else {}),
            "unlearn": (work.steps - work.trial_steps) * self.per_step,
            "gate": sum(map(self._of_gate, left)),
            "collapse": sampled.evaluations(work.groups, [g.name for g in left]) if guided else 0,
            **({"look": looks} if self.config.stop == "auto" else {}),
        }

    @property
    def share(self) -> float:
        """Of the model's own picture, in area, what is trained on."""
        side = self.config.unlearn_resolution or self.backbone.resolution
        return (side / self.backbone.resolution) ** 2

    @property
    def per_style(self) -> tuple[int, int]:
        """See `Plan.per_style`; on average over the styles, as if none were begun."""
        left, steps = self.work.left, self.config.total_steps * self.per_step
        gate, looks = (
            sum(f(group) for group, _ in left) / len(left) for f in (self._of_gate, self._of_looks)
        )
        looks *= self.config.stop == "auto"
        found = (self.work.trial_steps * self.per_step * self.share + self._of_trials) / len(left)
        return round(steps * self.share + gate + looks + found), round(steps + gate)

    @property
    def per_step(self) -> int:
        config = self.config
        n, m = config.batch_size, config.retain_batch_size
        operator = OPERATORS[config.operator]
        more = (config.anchors - 1) * n if operator.anchored else 0
        return more + operator.evaluations(n, m, self.backbone.conditional)

    def _held(self, group: Group) -> tuple[Sequence[Example], int]:
        """Held-out pictures of the group, and how many of the others."""
        share = self.config.heldout
        held = {g.name: split_heldout(g, share)[1] for g in self.work.groups}
        own = held.pop(group.name)
        return own, sum(map(len, held.values()))

    def _of_looks(self, group: Group) -> int:
        config, (own, others) = self.config, self._held(group)
        unnamed = config.text_rank > 0
        return config.repeats * stopping.evaluations(
            config.steps, len(own), others, unnamed=unnamed
        )

    def _of_gate(self, group: Group) -> int:
        own, others = self._held(group)
        asked = (own, others, self.backbone.conditional)
        apart = seeds.evaluations(self.config.repeats, len(own), others)
        return apart + probe.evaluations(self._batches(group), *asked)

    @property
    def _of_trials(self) -> int:
        if not self.work.trials:
            return 0
        group = self.work.groups[rates.tried_on(self.work.groups)]
        own, others = self._held(group)
        told = (own, others, self.backbone.conditional)
        return rates.evaluations(self._batches(group), *told, self.work.trials)

    def _batches(self, group: Group) -> Batches:
        anchors = anchor_context(self.backbone, self.work.groups, group, self.config)
        return Batches({}, anchors, self.backbone.schedule, self.config)
