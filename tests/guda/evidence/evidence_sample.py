"""A bundle of a small attribution, and what can be done to its ZIP."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

from guda.evidence import archive, bundle
from guda.scoring.origin import Origin
from guda.scoring.verdict import Attribution
from guda.steps import drain

from ..report.report_sample import GROUPS, sample


def attribution(root: Path, **changes) -> Attribution:
    """Of styles that have files, in a folder that tells of a user."""
    folder = root / "home of Anna" / "secret"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    files = {}
    for i, name in enumerate(GROUPS):
        files[name] = folder / f"{i}.safetensors"
        files[name].write_bytes(name.encode())
    origin = Origin(
        {"name": "emoji-demo <v1>", "fingerprint": "b2", "identity": {}, "precision": "float32"},
        {
            "kind": "unlearned",
            "id": "1",
            "set": "secret",
            "styles": [{"name": n, "style": n.lower(), "certificate": None} for n in GROUPS],
        },
        (folder / "model.safetensors",),
        files,
    )
    said = (f"{folder}/0.safetensors is weak.", r"C:\Users\Anna\a.png and ~/x/b.png are one.")
    return dataclasses.replace(sample(), origin=origin, warnings=said, **changes)


def make(root: Path, name: str = "b.zip", **changes) -> Path:
    return drain(bundle.make(attribution(root, **changes), root / name)).path


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {n: file.read(n) for n in file.namelist() if not n.endswith("/")}


def rewrite(path: Path, files: dict[str, bytes], *, sums: bool = False) -> Path:
    """The ZIP with other contents; with `sums`, and a list that fits them."""
    files = dict(files)
    if sums:
        del files[archive.SUMS]
        archive.write(path, files.items())
        return path
    with zipfile.ZipFile(path, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path
