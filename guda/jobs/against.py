"""An attribution set against a null pool: whether it may be, and what that makes of it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import ElboConfig
from ..counterfactuals.direct import DirectCounterfactuals
from ..diffusion import Backbone
from ..errors import ConfigError, CounterfactualError
from ..groups.shapes import AS_IT_IS
from ..scoring import conformal, null
from ..scoring.differences import Differences
from ..scoring.null import FORMS, GENERATED, REAL, Basis, Compared, NullPool
from ..scoring.pool_file import FILE, pool_digest, read_pool
from ..scoring.verdict import AgainstNull, Attribution, NullForm, Outcome
from . import basis
from .basis import Without

if TYPE_CHECKING:
    from .attribute import AttributeRequest


def check(pool: NullPool, file: str, now: Basis) -> None:
    """Raises CounterfactualError where the pool was scored otherwise than the pictures will be."""
    if changed := pool.basis.against(now):
        raise CounterfactualError(
            f"The null pool {file or 'that was given'} was made with another "
            f"{' and '.join(changed)}, so its scores are not comparable with these. Ask as it was "
            "made, or make a null pool for this."
        )


def check_question(request: AttributeRequest, prompts: Sequence[str]) -> None:
    """Raises CounterfactualError where the pictures are asked as none of a pool is."""
    side = request.backbone.latent_shape[1]
    if request.latents is not None:
        height, width = request.latents.shape[-2:]
        share = height * width / side**2
        if not 1 / AS_IT_IS <= share <= AS_IT_IS:
            raise CounterfactualError(
                f"The latents are of {width} x {height} cells, and the null pool's pictures were "
                f"scored at about {side} x {side}: scores grow with a picture's size. Make a pool "
                "at that resolution, or give the pictures in place of the latents."
            )
    if request.conditions is not None and not all(p.strip() for p in prompts):
        raise CounterfactualError(
            "A prompt is empty where a conditioning (positive) says what the picture was asked "
            "with, so that nothing tells which pictures of the null pool were asked alike; write "
            "its text into prompt, too."
        )


def of_set(without: Without, backbone: Backbone, config: ElboConfig) -> tuple[NullPool | None, str]:
    """The pool in a set's folder and its file's name; (None, "") where there is none that fits.

    Raises CounterfactualError where it is damaged.
    """
    if isinstance(without, DirectCounterfactuals) or not (without.folder / FILE).is_file():
        return None, ""
    pool = read_pool(without.folder / FILE)
    now = basis.of(backbone, without, config, pool.basis.fingerprint)
    return (None, "") if pool.basis.against(now) else (pool, FILE)


def given(
    asked: object, without: Without, backbone: Backbone, config: ElboConfig
) -> tuple[NullPool | None, str]:
    """The pool that was asked for and its file's name; `of_set` where none was.

    asked: a pool, its .json file, or a folder that holds it; there the one of drawn pictures comes
    first. Raises CounterfactualError where it is missing or damaged.
    """
    if asked is None:
        return of_set(without, backbone, config)
    if isinstance(asked, NullPool):
        return asked, ""
    if not isinstance(asked, str | os.PathLike):
        raise ConfigError(
            f"null is a {type(asked).__name__}; give a null pool, or its file or folder."
        )
    file = Path(asked)
    if file.suffix != ".json":
        now = basis.of(backbone, without, config)
        drawn, real = (file / basis.file_of(now, origin) for origin in (GENERATED, REAL))
        file = drawn if drawn.is_file() or not real.is_file() else real
    return read_pool(file), file.name


def doubts(pool: NullPool, forms: Sequence[str]) -> Iterator[str]:
    """Warnings of prompts for which the pool has too few pictures."""
    least = conformal.smallest_pool()
    for form in dict.fromkeys(forms):
        have = len(pool.null(form))
        if have < least:
            yield (
                f"{forms.count(form)} of the {len(forms)} pictures are asked {FORMS[form]}, and "
                f"the null pool has {have} that were asked so; a verdict needs {least} at least. "
                f"Add some to it (prompts: {form})."
            )


def judged(
    answer: Attribution, pool: NullPool, file: str, forms: Sequence[str], gaps: Differences
) -> Attribution:
    """The answer with evidence from the pool."""
    told, compared = null.judge(pool, answer.groups, forms, gaps.contributions, gaps.full)
    images = tuple(
        image.judged(evidence, answer.groups)
        for image, evidence in zip(answer.images, told, strict=True)
    )
    named = [i for i in images if i.outcome is Outcome.STYLE]
    # Of pictures without a style, this share lies beyond the cut on average.
    wrong = sum(e.rank / (e.pool + 1) for e in told)
    kept = sum(i.evidence is not None and i.evidence.q <= conformal.LEVEL for i in named)
    summary = AgainstNull(
        pool.origin,
        file,
        pool_digest(pool),
        {form: _form(pool, those) for form, those in compared.items()},
        min(wrong, float(len(named))),
        kept,
        pool=pool,
    )
    return dataclasses.replace(answer, images=images, null=summary)


def _form(pool: NullPool, those: Compared) -> NullForm:
    statistics = tuple(sorted(map(float, those.first)))
    return NullForm(
        len(statistics),
        pool.counts().get(those.form, {}),
        statistics,
        those.rank,
        those.cut if those.rank else None,
        those.named_share() if those.rank else None,
    )
