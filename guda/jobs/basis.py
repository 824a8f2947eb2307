"""What the scores of a null pool and of pictures depend on, and which prompts are of one form."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import DIRECT_EVALUATIONS, EVALUATIONS, ElboConfig
from ..counterfactuals import CounterfactualSet
from ..counterfactuals.direct import DirectCounterfactuals
from ..diffusion import Backbone
from ..groups.in_styles import in_styles
from ..groups.phrases import TEMPLATE
from ..scoring.null import Basis
from ..settings import digest

Without = CounterfactualSet | DirectCounterfactuals
COUNTS = ("evaluations", "schedule", "seed", "weighting")


def of(backbone: Backbone, without: Without, config: ElboConfig) -> Basis:
    """What pictures that are scored so may be compared with."""
    direct = isinstance(without, DirectCounterfactuals)
    config = config.filled(DIRECT_EVALUATIONS if direct else EVALUATIONS)
    names = (*COUNTS, "mixture") if direct else COUNTS
    estimate = {k: v for k, v in config.as_dict().items() if k in names}
    keys = without.styles if direct else ((e.name, e.key) for e in without.entries)
    template = without.template if direct else ""
    identity = dict(backbone.identity)
    return Basis(backbone.fingerprint, identity, direct, dict(keys), template, estimate)


def file_of(basis: Basis) -> str:
    """A name for the pool of direct counterfactuals, which have no folder of their own."""
    told = (basis.fingerprint, sorted(basis.styles.items()), basis.template, dict(basis.estimate))
    return f"null-{digest(*told)[:12]}.json"


def phrases(without: Without) -> tuple[str, ...]:
    """The tested styles as prompts name them."""
    if isinstance(without, DirectCounterfactuals):
        return without.phrases
    return tuple(e.style for e in without.entries)


def template_of(without: Without) -> str:
    return without.template if isinstance(without, DirectCounterfactuals) else TEMPLATE


def forms(without: Without, prompts: Sequence[str]) -> tuple[str, ...]:
    """The form of each prompt, see `scoring.null.FORMS`."""
    named = phrases(without)

    def form(prompt: str) -> str:
        if not prompt.strip():
            return "none"
        return "named" if in_styles(prompt, named).named else "content"

    return tuple(map(form, prompts))
