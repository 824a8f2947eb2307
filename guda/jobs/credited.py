"""An attribution with a column of credit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from ..scoring.credit import FEWEST, credits
from ..scoring.null import FORMS, NullPool
from ..scoring.verdict import Attribution


def doubts(pool: NullPool | None, forms: Sequence[str]) -> Iterator[str]:
    """Warnings of credit from which nothing is subtracted."""
    if pool is None:
        yield _nothing("no null pool")
        return
    for form in dict.fromkeys(forms):
        if (count := len(pool.null(form))) < FEWEST:
            yield _nothing(f"a null pool of {count} for pictures asked {FORMS[form]}")


def _nothing(have: str) -> str:
    return (
        f"There is {have}, so nothing is subtracted from the pictures' credit, and those that have "
        f"nothing to do with the styles get much of it, too; make a null pool of {FEWEST} or more."
    )


def credited(
    answer: Attribution, contributions: np.ndarray, pool: NullPool | None, forms: Sequence[str]
) -> Attribution:
    """The answer with every score's credit. contributions: (I, K, P) of its groups."""
    given = np.zeros(contributions.shape[:2])
    for form in dict.fromkeys(forms):
        rows = [i for i, f in enumerate(forms) if f == form]
        null = pool and pool.contributions(pool.null(form), answer.groups)
        given[rows] = credits(contributions[rows], null)
    images = []
    for image, row in zip(answer.images, given, strict=True):
        by_group = dict(zip(answer.groups, map(float, row), strict=True))
        scores = (dataclasses.replace(s, credit=by_group[s.group]) for s in image.scores)
        images.append(dataclasses.replace(image, scores=tuple(scores)))
    return dataclasses.replace(answer, images=tuple(images))
