"""Making a bundle of an attribution.

index.html, README.txt   the first page
report/                  what `report.save` writes
evidence.json            settings, seeds, versions, model, styles, certificates, commands
scored/0001.safetensors  every picture, and its latent where latents were scored
styles.txt               of direct scores
null.json                the null pool, if there is one; see `scoring.pool_file`
SHA256SUMS               of all the others; see `archive`
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import EvidenceError
from ..files.destination import check_folder
from ..report import save
from ..scoring.origin import Origin
from ..scoring.pool_file import FILE, write_pool
from ..scoring.verdict import Attribution
from ..steps import Steps
from . import archive
from .facts import facts, hashed, picture_file, tensors
from .page import Page
from .private import Private

SUFFIX = ".zip"


@dataclass(frozen=True)
class Bundle:
    """Where it lies, and what names all that is in it: the SHA-256 of its list of sums."""

    path: Path
    name: str


def check(path: Path) -> None:
    """Raises EvidenceError or SaveError where no bundle could be written."""
    if path.suffix.lower() != SUFFIX:
        raise EvidenceError(f"out is {path}; give a file that ends in {SUFFIX}.")
    if path.is_dir():
        raise EvidenceError(f"out is {path}, which is a folder; give a file.")
    check_folder(path.parent, "out's folder")


def make(attribution: Attribution, path: Path) -> Steps[Bundle]:
    """Write the bundle; the same attribution gives the same bytes. Raises GudaError.

    The files of the model and the styles are hashed as they are now.
    """
    check(path)
    origin = attribution.origin
    if origin is None:
        raise EvidenceError(
            "The attribution does not say what it was computed from, as those of earlier versions "
            "do not; attribute the pictures again."
        )
    hashes = yield from hashed(origin)
    private = Private([*origin.model_files, *origin.style_files.values()])
    shown = private.attribution(attribution)
    told = private.values(facts(shown, origin, hashes))
    with tempfile.TemporaryDirectory(prefix="guda-evidence-") as folder:
        made = save(shown, Path(folder) / "report").folder
        if shown.null is not None and shown.null.pool is not None:
            write_pool(shown.null.pool, Path(folder) / FILE)
        return Bundle(path, archive.write(path, _files(shown, origin, told, made)))


def _files(
    shown: Attribution, origin: Origin, told: dict, report: Path
) -> Iterator[tuple[str, bytes]]:
    """In the order of the ZIP; the first page comes first."""
    from safetensors.torch import save as packed

    reports = sorted(p.name for p in report.iterdir())
    scored = [picture_file(i) for i in range(len(shown.images))]
    names = ["evidence.json", "report/", *scored]
    direct = told["counterfactuals"]["kind"] == "direct"
    null = report.parent / FILE
    names += ["styles.txt"] * direct + [FILE] * null.is_file()
    page = Page(shown, told["commands"], frozenset(names))
    yield "README.txt", page.to_text().encode()
    yield "index.html", page.to_html().encode()
    text = json.dumps(told, ensure_ascii=False, indent=1, allow_nan=False)
    yield "evidence.json", (text + "\n").encode()
    if direct:
        styles = told["counterfactuals"]["styles"]
        yield "styles.txt", "".join(f"{s['name']}: {s['style']}\n" for s in styles).encode()
    if null.is_file():
        yield FILE, null.read_bytes()
    for name in reports:
        yield f"report/{name}", (report / name).read_bytes()
    for i, name in enumerate(scored):
        yield name, packed(tensors(shown, origin, i))
