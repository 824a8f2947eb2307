"""The manifest of a counterfactual set, `counterfactuals.json`: written, read and checked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import CounterfactualError, first_line
from ..files import reading, slugify, write_text
from ..files.reading import field, number, shown
from ..unlearning.gate import Gate
from ..unlearning.stopping import Ended
from ..version import __version__
from . import rate
from .certificate import Certificate
from .set import MANIFEST, CounterfactualSet, Entry


def read_manifest(folder: Path) -> CounterfactualSet | None:
    """The set that `folder`'s manifest describes, None without one. Raises CounterfactualError."""
    path = folder / MANIFEST
    if not os.path.lexists(path):
        return None
    text = reading.read_bytes(path, reading.TABLE, CounterfactualError)
    try:
        data = reading.loads(text)
        entries = tuple(map(read_entry, field(data, "groups", list)))
        for names in ([e.name for e in entries], [e.slug for e in entries]):
            if len(set(names)) < len(names):
                raise ValueError("a group stands there twice")
        return CounterfactualSet(
            folder,
            field(data, "base_model", str),
            field(data, "fingerprint", str),
            field(data, "groups_hash", str),
            field(data, "recipe", dict),
            entries,
            field(data, "identity", dict) if "identity" in data else {},
            rate.read(data["learning_rate"]) if "learning_rate" in data else (),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise CounterfactualError(
            f"{path} cannot be read ({first_line(error)}); delete it and unlearn the styles again."
        ) from None


def read_entry(told: Any) -> Entry:
    """What `entry_to_json` gave. Raises ValueError, KeyError, TypeError or OverflowError."""
    name, slug, style, key = (field(told, k, str) for k in ("name", "slug", "style", "key"))
    if not name.strip() or slug != slugify(slug):
        raise ValueError(f"a group has the name {shown(name)} and the slug {shown(slug)}")
    losses = tuple(
        (int(number(s, "losses")), number(f, "losses"), number(r, "losses"))
        for s, f, r in field(told, "losses", list)
    )
    warnings = field(told, "warnings", list) if "warnings" in told else []
    if not all(isinstance(w, str) for w in warnings):
        raise ValueError(f'"warnings" is {shown(warnings, 40)}, no list of text')
    gate = Gate.from_dict(field(told, "gate", dict))
    certificate = None
    if told.get("certificate") is not None:
        certificate = Certificate.read(told["certificate"])
    ended = tuple(map(Ended.read, field(told, "ended", list) if "ended" in told else ()))
    return Entry(name, slug, style, key, gate, losses, tuple(warnings), certificate, ended)


def entry_to_json(e: Entry) -> dict[str, Any]:
    return {
        "name": e.name,
        "slug": e.slug,
        "style": e.style,
        "file": e.file,
        "key": e.key,
        "gate": e.gate.as_dict(),
        "certificate": e.certificate and e.certificate.as_dict(e.gate),
        "losses": e.losses,
        "warnings": e.warnings,
        **({"ended": [x.as_dict() for x in e.ended]} if e.ended else {}),
    }


def save_manifest(made: CounterfactualSet) -> None:
    data = {
        "version": __version__,
        "base_model": made.base_model,
        "fingerprint": made.fingerprint,
        "identity": made.identity,
        "groups_hash": made.groups_hash,
        "recipe": made.recipe,
        **({"learning_rate": rate.as_dict(made.trials)} if made.trials else {}),
        "groups": list(map(entry_to_json, made.entries)),
    }
    text = json.dumps(data, indent=1, ensure_ascii=False)
    write_text(made.folder / MANIFEST, text, make_folder=False)
