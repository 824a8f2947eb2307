"""The pictures of one source, asked together: the scores of a batch, and what they say as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from ..scoring.null import FORMS, NullPool
from ..scoring.source import FEWEST, of_source
from ..scoring.verdict import Attribution, Outcome


def doubts(pool: NullPool | None, forms: Sequence[str]) -> Iterator[str]:
    """Warnings of pictures that cannot be asked together, or not against the pool."""
    count = len(forms)
    if count < FEWEST:
        yield (
            f"{count} pictures are asked as one source, and {FEWEST} are the fewest that say "
            "anything of one; give more of its pictures."
        )
    elif pool is not None and len(set(forms)) > 1:
        told = " and ".join(f"some {FORMS[form]}" for form in dict.fromkeys(forms))
        yield (
            f"The pictures of the source are asked in several ways, {told}, so they cannot be held "
            "together against the null pool; ask them all in one."
        )
    elif pool is not None and len(pool.null(forms[0])) < count:
        yield (
            f"The null pool has {len(pool.null(forms[0]))} pictures asked {FORMS[forms[0]]}, fewer "
            f"than the source's {count}; add some with guda null --size."
        )


def together(
    answer: Attribution, contributions: np.ndarray, pool: NullPool | None, forms: Sequence[str]
) -> Attribution:
    """The answer with what its pictures say as one. contributions: (n, K, P) of its groups."""
    null = None
    if pool is not None and len(set(forms)) == 1:
        null = pool.contributions(pool.null(forms[0]), answer.groups)
    confidence, seed = answer.estimate["confidence"], answer.estimate["seed"]
    unlike = sum(image.outcome is Outcome.UNLIKE for image in answer.images)
    told = of_source(answer.groups, contributions, confidence, null, seed, unlike)
    return dataclasses.replace(answer, source=told)
