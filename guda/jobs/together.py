"""The pictures of one source, asked together: the scores of a batch, and what they say as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..scoring import kind
from ..scoring.null import FORMS, IN_STYLE, NullPicture, NullPool
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
            f"than the source's {count}; make it larger (size)."
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
    told = (answer.groups, contributions, confidence, null, seed, unlike, answer.spread)
    return dataclasses.replace(answer, source=of_source(*told))


def of_a_kind(
    answer: Attribution,
    full: np.ndarray,
    pool: NullPool | None,
    forms: Sequence[str],
    phrases: Mapping[str, str],
) -> Attribution:
    """The answer without its source's name where the style's own pictures are of another kind.

    full: (n, P) of its pictures; phrases: of its groups, by name.
    """
    if pool is None or answer.source is None or len(set(forms)) != 1:
        return answer
    references = {}
    for name, phrase in phrases.items():
        own = [p.full for p in pool.in_style(forms[0]) if _shows(p, name, phrase)]
        if own:
            references[name] = np.stack(own)
    return dataclasses.replace(answer, source=kind.held(answer.source, full, references))


def _shows(picture: NullPicture, name: str, phrase: str) -> bool:
    """Whether a picture in a style is in this one: drawn in it, or in a folder of its name."""
    if picture.style:
        return picture.style == phrase
    folder, _, file = picture.id.removeprefix(f"{IN_STYLE}/").rpartition("/")
    return bool(file) and folder.split("/")[0].casefold() in (name.casefold(), phrase.casefold())
