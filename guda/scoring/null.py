"""The null pool: pictures that have nothing to do with the styles, scored once and kept.

A style is named where the picture's leader stands out further than it does in all but a few of
them. Pool and picture are of one kind: both drawn by the model or neither, and asked with a prompt
of the same form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..diffusion import identity
from . import conformal, standing
from .verdict import Evidence, Outcome

FORMS = {
    "content": "with what is shown, and no style",
    "none": "with no prompt",
    "named": "with the name of one of the styles",
}
"""Forms of a prompt: what it says."""
FREE, OTHER, FOLDER, IN_STYLE = "no style", "another style", "folder", "in a style"
"""Where a picture of the pool is from. The last is no null: it shows what the styles look like."""
GENERATED, REAL = "generated", "real"


@dataclass(frozen=True)
class Basis:
    """What scores depend on beside the picture: those of one pool are comparable with no others."""

    fingerprint: str
    identity: Mapping[str, Any]
    direct: bool
    styles: Mapping[str, str]  # name -> phrase, or the key of its counterfactual
    template: str  # how prompts are asked in a style; direct alone
    estimate: Mapping[str, Any]  # evaluations, schedule, seed, weighting; mixture if direct

    def against(self, now: Basis) -> list[str]:
        """What is not as it is `now`, in words; [] where the scores are comparable.

        Unlearned styles are scored one by one, so fewer of them may be asked for.
        """
        said = []
        if self.fingerprint != now.fingerprint:
            said.append(_model(self.identity, now.identity))
        else:
            said += identity.differences(self.identity, now.identity)
        if self.direct != now.direct:
            kinds = {True: "direct", False: "unlearned"}
            said.append(f"counterfactuals ({kinds[self.direct]} then, {kinds[now.direct]} now)")
        elif self.direct and (self.styles != now.styles or self.template != now.template):
            said.append("styles that are compared")
        elif any(self.styles.get(name) != key for name, key in now.styles.items()):
            said.append("styles or their counterfactuals")
        for name in {**self.estimate, **now.estimate}:
            was, is_now = (x.get(name) for x in (self.estimate, now.estimate))
            if was != is_now:
                said.append(f"{name} ({was} then, {is_now} now)")
        return said


def _model(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Another model, and of which kind where that is what differs."""
    kinds = [str(x.get("kind of model", "")) for x in (then, now)]
    return (
        f"model ({kinds[0]} then, {kinds[1]} now)" if len(set(filter(None, kinds))) > 1 else "model"
    )


@dataclass(frozen=True)
class NullPicture:
    """One picture of a pool, asked with one form of prompt. K styles in the basis' order."""

    id: str
    source: str
    style: str  # the phrase of the style that it was drawn in; empty where none
    prompt: str
    form: str
    elbo: float
    contributions: np.ndarray  # (K, P) as in `Differences`
    full: np.ndarray  # (P,)

    @property
    def is_null(self) -> bool:
        return self.source != IN_STYLE


@dataclass(frozen=True)
class NullPool:
    """Scored pictures. origin: "generated" by the model, or "real"."""

    basis: Basis
    origin: str
    pictures: tuple[NullPicture, ...] = ()
    general: tuple[str, ...] = ()  # the styles that are not tested, which the model knows
    t: tuple[int, ...] = ()  # (P,) where it was scored
    settings: Mapping[str, Any] | None = None  # how it was drawn

    def null(self, form: str) -> tuple[NullPicture, ...]:
        """The null pictures that were asked so."""
        return tuple(p for p in self.pictures if p.is_null and p.form == form)

    def in_style(self, form: str) -> tuple[NullPicture, ...]:
        """The pictures in the styles that were asked so."""
        return tuple(p for p in self.pictures if not p.is_null and p.form == form)

    def counts(self) -> dict[str, dict[str, int]]:
        """form -> source -> pictures."""
        told: dict[str, dict[str, int]] = {}
        for p in self.pictures:
            of_form = told.setdefault(p.form, {})
            of_form[p.source] = of_form.get(p.source, 0) + 1
        return told

    def contributions(self, pictures: Sequence[NullPicture], names: Sequence[str]) -> np.ndarray:
        """(n, K, P) of the named styles, in that order."""
        have = list(self.basis.styles)
        rows = [have.index(name) for name in names]
        if not pictures:
            return np.zeros((0, len(rows), len(self.t)))
        return np.stack([p.contributions[rows] for p in pictures])


@dataclass(frozen=True)
class Compared:
    """The pool as one form of prompt sees it, for K named styles."""

    form: str
    first: np.ndarray  # (n,) null statistics of what stands out most
    second: np.ndarray  # (n,) and of what does without it
    in_style: np.ndarray  # (m,) the first ones of pictures in the styles
    reference: np.ndarray  # (r, b) errors of what the model explains
    rank: int  # a name needs a statistic beyond the `rank`-th largest

    @classmethod
    def of(cls, pool: NullPool, form: str, names: Sequence[str]) -> Compared:
        null, inside = pool.null(form), pool.in_style(form)
        scored, own = pool.contributions(null, names), pool.contributions(inside, names)
        # Foreign pictures show nothing of what the model explains; its own drawings do.
        like = [*inside, *(p for p in null if p.source != FOLDER)]
        return cls(
            form,
            standing.of_first(scored) if len(null) else np.zeros(0),
            standing.of_second(scored) if len(null) else np.zeros(0),
            standing.of_first(own) if len(inside) else np.zeros(0),
            standing.bands(np.stack([p.full for p in like])) if like else np.zeros((0, 1)),
            conformal.largest_rank(len(null)),
        )

    @property
    def cut(self) -> float:
        """What a statistic has to exceed."""
        return float(np.sort(self.first)[-self.rank]) if self.rank else float("inf")

    def named_share(self) -> float | None:
        """Of the pictures in the styles, those that would get a name; None where there are none."""
        return float((self.in_style > self.cut).mean()) if len(self.in_style) else None

    def unlike(self, full: np.ndarray) -> np.ndarray | None:
        """(n,) p-values of pictures with these terms (n, P) being like what the model explains."""
        if not conformal.largest_rank(len(self.reference)):
            return None
        own, far = standing.distances(self.reference, standing.bands(full))
        return conformal.p_values(own, far)

    def unlike_rank(self) -> int:
        return conformal.largest_rank(len(self.reference))


def judge(
    pool: NullPool,
    names: Sequence[str],
    forms: Sequence[str],
    contributions: np.ndarray,
    full: np.ndarray,
) -> tuple[list[Evidence], dict[str, Compared]]:
    """Evidence for every picture, and the pool as the forms see it.

    contributions: (I, K, P) of the named styles; full: (I, P); forms: (I,).
    """
    compared = {form: Compared.of(pool, form, names) for form in dict.fromkeys(forms)}
    each, second = standing.of_each(contributions), standing.of_second(contributions)
    order = np.argsort(-contributions.sum(2), axis=1, kind="stable")
    told: list[Evidence | None] = [None] * len(forms)
    for form, those in compared.items():
        index = [i for i, f in enumerate(forms) if f == form]
        unlike = those.unlike(full[index])
        pair = conformal.as_large(those.second, second[index])
        above = conformal.as_large(those.first, each[index].max(1))
        by_style = conformal.p_values(those.first, each[index])
        for n, i in enumerate(index):
            strange = None if unlike is None else float(unlike[n])
            place = int(np.flatnonzero(order[i] == each[i].argmax())[0])
            told[i] = Evidence(
                form=form,
                pool=len(those.first),
                rank=those.rank,
                lower=len(those.first) - int(above[n]),
                statistic=float(each[i].max()),
                p=float((1 + above[n]) / (len(those.first) + 1)),
                by_style=tuple(map(float, by_style[n])),
                unlike=strange,
                outcome=_outcome(those, int(above[n]), int(pair[n]), place, strange),
            )
    return adjusted([e for e in told if e is not None]), compared


def adjusted(evidence: Sequence[Evidence]) -> list[Evidence]:
    """The same with the p-values of a call held together (Benjamini & Hochberg)."""
    if not evidence:
        return []
    q = conformal.benjamini_hochberg(np.array([e.p for e in evidence]))
    return [e.adjusted(float(value)) for e, value in zip(evidence, q, strict=True)]


def _outcome(those: Compared, above: int, pair: int, place: int, unlike: float | None) -> Outcome:
    """place: by its delta, from 0, of the style that stands out most."""
    if not those.rank:
        return Outcome.UNTOLD
    if unlike is not None and unlike * (len(those.reference) + 1) <= those.unlike_rank():
        return Outcome.UNLIKE
    if above < those.rank and place == 0:
        return Outcome.STYLE
    both = above < those.rank or pair < those.rank
    return Outcome.UNDECIDED if both and place < 2 else Outcome.NONE
