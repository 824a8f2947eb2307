"""The job that unlearns: its typed request, and the stages joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..config import MemoryConfig, SampleConfig, UnlearnConfig
from ..counterfactuals import CounterfactualSet, existing, unlearn_set
from ..diffusion import Backbone
from ..groups import StyleGroups
from ..groups.draw import generate_pictures, missing
from ..scoring import explains
from ..steps import Steps
from ..unlearning.recipe import recommended


@dataclass(frozen=True)
class UnlearnRequest:
    """Unlearn the groups (or those in `names`) from the model into the folder `out`.

    Groups without pictures get theirs from the model first, kept in `cache`.
    config: None for what suits the model (`recipe.recommended`).
    """

    backbone: Backbone
    groups: StyleGroups
    out: Path
    config: UnlearnConfig | None = None
    names: Sequence[str] | None = None
    sampling: SampleConfig = field(default_factory=SampleConfig)
    cache: Path | None = None
    memory: MemoryConfig = field(default_factory=MemoryConfig)

    @property
    def recipe(self) -> UnlearnConfig:
        return self.config or recommended(self.backbone)

    @property
    def drawn(self) -> Path:
        """Where the pictures of prompt-only groups are kept."""
        return self.cache or self.out / "pictures"


def unlearn(request: UnlearnRequest) -> Steps[CounterfactualSet]:
    """Counterfactuals for every group; resumable."""
    groups = request.groups
    for name in request.names or ():
        groups[name]  # an unknown name is refused before any picture is drawn
    existing(request.out, request.backbone)  # and so is a set of another model
    if any(e.path is None for g in groups for e in g.examples):
        if missing(request.backbone, groups, request.sampling, request.drawn):
            yield from explains.check_reading(request.backbone)
        groups = yield from generate_pictures(
            request.backbone, groups, request.sampling, request.drawn
        )
    return (
        yield from unlearn_set(
            request.backbone, groups, request.recipe, request.out, request.names, request.memory
        )
    )
