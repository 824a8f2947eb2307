"""The null pool on disk, one JSON file.

    {"kind": "guda null pool", "format": 1, "version": of GUDA, "digest": of all that follows,
     "origin": "generated" | "real", "basis": {"fingerprint", "identity", "direct", "template",
     "styles": [[name, phrase or key], ...], "estimate"}, "general": [phrase, ...],
     "settings": {...}, "t": [P], "pictures": [{"id", "source", "style", "prompt", "form", "elbo",
     "contributions": [K][P], "full": [P]}, ...]}

`contributions` sum to the deltas of the basis' styles, in its order; see `null`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CounterfactualError, first_line
from ..files import reading, write_text
from ..files.reading import field, number, shown
from ..settings import digest
from ..version import __version__
from .null import FORMS, GENERATED, REAL, Basis, NullPicture, NullPool

FORMAT, KIND = 1, "guda null pool"
FILE, REAL_FILE = "null.json", "null-real.json"
"""Its name in a counterfactual set's folder: of drawn pictures, which is found by itself, and of a
folder's."""
DIGITS = 6  # of each number that are kept
LIMIT = 4 * reading.TABLE


def write_pool(pool: NullPool, path: Path) -> None:
    """Whole or not at all. Raises SaveError."""
    told = _told(pool)
    head = {"kind": KIND, "format": FORMAT, "version": __version__, "digest": digest(told)}
    pictures = told.pop("pictures")
    text = json.dumps({**head, **told}, ensure_ascii=False, indent=1, allow_nan=False)
    lines = ",\n".join(json.dumps(p, ensure_ascii=False, allow_nan=False) for p in pictures)
    write_text(path, f'{text[:-2]},\n "pictures": [\n{lines}\n ]\n}}\n')


def pool_digest(pool: NullPool) -> str:
    """Names the contents of a pool, as its file does."""
    return digest(_told(pool))


def read_pool(path: Path) -> NullPool:
    """Raises CounterfactualError that names the file, what is wrong and the remedy."""
    text = reading.read_bytes(path, LIMIT, CounterfactualError)
    try:
        data = reading.loads(text)
        if field(data, "kind", str) != KIND:
            raise ValueError("it is no null pool")
        if field(data, "format", int) > FORMAT:
            raise ValueError("it was written by a later version of GUDA")
        pool = _pool(data)
        if field(data, "digest", str) != pool_digest(pool):
            raise ValueError("its contents do not fit its checksum")
        return pool
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise CounterfactualError(
            f"{path} cannot be read ({first_line(error)}); give a file that `guda null` wrote, or "
            "delete it and make it again."
        ) from None


def _told(pool: NullPool) -> dict[str, Any]:
    basis = pool.basis
    return {
        "origin": pool.origin,
        "basis": {
            "fingerprint": basis.fingerprint,
            "identity": dict(basis.identity),
            "direct": basis.direct,
            "template": basis.template,
            "styles": [list(pair) for pair in basis.styles.items()],
            "estimate": dict(basis.estimate),
        },
        "general": list(pool.general),
        "settings": dict(pool.settings or {}),
        "t": list(pool.t),
        "pictures": [_picture(p) for p in pool.pictures],
    }


def _picture(p: NullPicture) -> dict[str, Any]:
    return {
        "id": p.id,
        "source": p.source,
        "style": p.style,
        "prompt": p.prompt,
        "form": p.form,
        "elbo": _short(p.elbo),
        "contributions": [[_short(v) for v in row] for row in p.contributions.tolist()],
        "full": [_short(v) for v in p.full.tolist()],
    }


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def rounded(p: NullPicture) -> NullPicture:
    """The picture as it is read again, so that a fresh pool and one from disk agree."""
    return _read_picture(_picture(p), len(p.contributions), len(p.full))


def _pool(data: Mapping[str, Any]) -> NullPool:
    told = field(data, "basis", dict)
    styles = {str(name): str(key) for name, key in field(told, "styles", list)}
    basis = Basis(
        field(told, "fingerprint", str),
        field(told, "identity", dict),
        field(told, "direct", bool),
        styles,
        field(told, "template", str),
        field(told, "estimate", dict),
    )
    t = tuple(int(number(x, "t")) for x in field(data, "t", list))
    origin = field(data, "origin", str)
    if origin not in (GENERATED, REAL):
        raise ValueError(f"its origin is {shown(origin, 40)}")
    pictures = tuple(_read_picture(p, len(styles), len(t)) for p in field(data, "pictures", list))
    general = tuple(map(str, field(data, "general", list)))
    return NullPool(basis, origin, pictures, general, t, field(data, "settings", dict))


def _read_picture(told: Any, styles: int, points: int) -> NullPicture:
    names = ("id", "source", "style", "prompt", "form")
    texts = {name: field(told, name, str) for name in names}
    if texts["form"] not in FORMS:
        raise ValueError(f"a picture's prompt is of the form {shown(texts['form'], 40)}")
    contributions = np.array(field(told, "contributions", list), dtype=np.float64)
    full = np.array(field(told, "full", list), dtype=np.float64)
    if contributions.shape != (styles, points) or full.shape != (points,):
        raise ValueError(f"the picture {shown(texts['id'], 40)} has another number of scores")
    if not (np.isfinite(contributions).all() and np.isfinite(full).all()):
        raise ValueError(f"the picture {shown(texts['id'], 40)} has scores that are no numbers")
    elbo = number(field(told, "elbo", float), "elbo")
    return NullPicture(**texts, elbo=elbo, contributions=contributions, full=full)
