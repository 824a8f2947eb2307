"""What tells of the machine and its user is left out of a bundle: folders, home, user name."""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..scoring.null import REAL, NullPool
from ..scoring.pool_file import pool_digest
from ..scoring.verdict import AgainstNull, Attribution

_PATH = re.compile(
    r"""(?<![\w.:/\\~-])                       # not within a word, a date, an address
    (?:~[/\\]|[A-Za-z]:[/\\]|\\\\|/)           # of a home, a drive, a network, the root
    (?:[^\s/\\'"<>|:;,()]+[/\\])+""",
    re.VERBOSE,
)


class Private:
    """Cuts folders off. known: paths in use, whose folders may have spaces in their names."""

    def __init__(self, known: Iterable[Path] = ()):
        folders = {Path.home(), Path.cwd(), Path(tempfile.gettempdir())}
        folders |= {p for path in known for p in (path.parent, path.absolute().parent)}
        names = {str(f) for f in folders if len(f.parts) > 1 or f.is_absolute()} - {"/", "."}
        self._folders = sorted(names | {n.replace("\\", "/") for n in names}, key=len, reverse=True)

    def text(self, given: str) -> str:
        """Every path as the name at its end."""
        for folder in self._folders:
            for separator in {os.sep, "/"}:
                given = given.replace(folder + separator, "")
            given = given.replace(folder, re.split(r"[/\\]", folder)[-1])
        return _PATH.sub("", given)

    def values(self, given: Any) -> Any:
        """JSON values, their texts without folders."""
        if isinstance(given, str):
            return self.text(given)
        if isinstance(given, dict):
            return {key: self.values(value) for key, value in given.items()}
        return [self.values(v) for v in given] if isinstance(given, list | tuple) else given

    def attribution(self, given: Attribution) -> Attribution:
        """As a bundle shows it: without folders, and without what differs from run to run."""
        images = tuple(
            dataclasses.replace(i, image=re.split(r"[/\\]", i.image.rstrip("/\\"))[-1] or i.image)
            for i in given.images
        )
        return dataclasses.replace(
            given,
            images=images,
            warnings=tuple(map(self.text, given.warnings)),
            full_model=self.values(dict(given.full_model)),
            certificates=self.values(dict(given.certificates)),
            sheets={},  # pictures that no scores stand on
            seconds=float("nan"),
            null=given.null and _null(given.null),
        )


def _null(given: AgainstNull) -> AgainstNull:
    """The pool under the name that it has in the bundle."""
    pool = given.pool and _pool(given.pool)
    told = given.digest if pool is None else pool_digest(pool)
    return dataclasses.replace(given, file="null.json", digest=told, pool=pool)


def _pool(given: NullPool) -> NullPool:
    """Of a folder of the user's own, without the names of files and what they are said to show."""
    if given.origin != REAL:
        return given
    pictures = (
        dataclasses.replace(p, id=f"{p.source} {i}", prompt="")
        for i, p in enumerate(given.pictures, 1)
    )
    return dataclasses.replace(given, pictures=tuple(pictures))
