"""What a model is, by named parts: everything that changes what is computed with it.

A record of JSON values, kept with what was made from the model. A list of texts names one part in
several ways (its values rounded to one format or another): one in common is enough.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ..settings import digest

Identity = Mapping[str, Any]
_HASH = re.compile("[0-9a-f]{32}")


def differences(then: Identity, now: Identity) -> list[str]:
    """Every part that is in both records and not the same, in words."""
    return [
        _told(part, then[part], now[part])
        for part in then
        if part in now and not _same(then[part], now[part])
    ]


def name(identity: Identity) -> str:
    """A short name of all parts, for the names of files."""
    return digest(sorted((k, v[0] if _is_texts(v) else v) for k, v in identity.items()))


def _same(a: Any, b: Any) -> bool:
    if _is_texts(a) and _is_texts(b):
        return bool(set(a) & set(b))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-6)
    return a == b


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(x, str) for x in value)


def _told(part: str, then: Any, now: Any) -> str:
    values = [str(x) for x in (then, now)]
    if any(_HASH.search(x) or len(x) > 40 for x in values):
        return part
    return f"{part} ({values[0]} then, {values[1]} now)"
