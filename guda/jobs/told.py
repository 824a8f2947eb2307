"""What the scores of a batch are held against, once they are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..scoring.differences import Differences
from ..scoring.verdict import Attribution
from ..steps import Steps, warn
from . import against, basis, credited, together

if TYPE_CHECKING:
    from .attribute import AttributeRequest


def told(
    answer: Attribution, gaps: Differences, request: AttributeRequest, prompts: Sequence[str]
) -> Steps[Attribution]:
    """The answer with its verdicts, credit and source, as they were asked for, and warnings."""
    pool, without = request.null, request.counterfactuals
    forms = basis.forms(without, prompts)
    if pool is not None:
        for text in against.doubts(pool, forms):
            yield warn(text)
        answer = against.judged(answer, pool, request.null_file, forms, gaps)
    if request.credit:
        for text in credited.doubts(pool, forms):
            yield warn(text)
        answer = credited.credited(answer, gaps.contributions, pool, forms)
    if request.one_source:
        for text in together.doubts(pool, forms):
            yield warn(text)
        answer = together.together(answer, gaps.contributions, pool, forms)
        phrases = dict(zip(without.names, basis.phrases(without), strict=True))
        answer = together.of_a_kind(answer, gaps.full, pool, forms, phrases)
    return answer
