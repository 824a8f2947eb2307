"""What the scores of a null pool and of pictures depend on, and which prompts are of one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..config import DIRECT_EVALUATIONS, EVALUATIONS, ElboConfig
from ..counterfactuals import CounterfactualSet
from ..counterfactuals.direct import DirectCounterfactuals
from ..counterfactuals.sameness import identity_of
from ..counterfactuals.sameness import names as names_of
from ..diffusion import Backbone
from ..diffusion.identity import name as name_of
from ..errors import ModelError
from ..groups.in_styles import in_styles
from ..groups.phrases import TEMPLATE
from ..scoring.null import GENERATED, Basis
from ..scoring.pool_file import FILE, REAL_FILE
from ..settings import digest

Without = CounterfactualSet | DirectCounterfactuals
COUNTS = ("evaluations", "schedule", "seed", "weighting")


def of(backbone: Backbone, without: Without, config: ElboConfig, noted: str = "") -> Basis:
    """What pictures that are scored so may be compared with.

    noted: what a pool calls the model's weights; kept where it is one of the names that they have.
    Raises ModelError where nothing tells whether another run's model is the same.
    """
    if what := getattr(backbone, "incomparable", ""):
        raise ModelError(
            f"The model {backbone.name} carries {what}, and nothing tells whether a null pool was "
            "made with the same; link the model without it, or ask without a null pool."
        )
    direct = isinstance(without, DirectCounterfactuals)
    config = config.filled(DIRECT_EVALUATIONS if direct else EVALUATIONS)
    names = (*COUNTS, *getattr(backbone, "counts", ()), *(("mixture",) if direct else ()))
    estimate = {k: v for k, v in config.as_dict().items() if k in names}
    keys = without.styles if direct else ((e.name, e.key) for e in without.entries)
    template = without.template if direct else ""
    weights = noted if noted in names_of(backbone) else backbone.fingerprint
    identity = identity_of(backbone, weights)
    return Basis(weights, identity, direct, dict(keys), template, estimate)


def file_of(basis: Basis, origin: str, drawing: Mapping[str, object] | None = None) -> str:
    """The name of a pool's file: FILE or REAL_FILE in a set's folder; direct counterfactuals have
    no folder of their own, so theirs holds what the scores depend on; of a graph's model, which a
    run may change in every part, that is the whole record, and how pictures are drawn."""
    name = FILE if origin == GENERATED else REAL_FILE
    if not basis.direct:
        return name
    told = [basis.fingerprint, sorted(basis.styles.items()), basis.template, dict(basis.estimate)]
    if "weights" not in basis.identity:
        told += [name_of(basis.identity), dict(drawing or {})]
    stem, ending = name.split(".")
    return f"{stem}-{digest(*told)[:12]}.{ending}"


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
