"""Checking a bundle's files against its list of sums."""

from __future__ import annotations

from dataclasses import dataclass

from . import archive
from .archive import SIGNATURE, SUMS, Archive


@dataclass(frozen=True)
class Sums:
    """What the list of sums says of the files; names as they stand in the ZIP."""

    name: str  # of the bundle: the SHA-256 of its list
    whole: tuple[str, ...]
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    unsafe: tuple[str, ...]  # would lead out of the folder, or onto each other, when unpacked

    @property
    def good(self) -> bool:
        return not (self.changed or self.missing or self.added or self.unsafe)


def check_sums(bundle: Archive) -> Sums:
    """Hash every file again. Raises EvidenceError for what is no bundle."""
    listed = bundle.sums()
    there = set(bundle.names) - {SUMS, *SIGNATURE}
    same = {n for n in there & listed.keys() if bundle.sha256(n) == listed[n]}
    return Sums(
        archive.name_of(bundle.read(SUMS)),
        tuple(sorted(same)),
        tuple(sorted(there & listed.keys() - same)),
        tuple(sorted(listed.keys() - there)),
        tuple(sorted(there - listed.keys())),
        tuple(sorted({*bundle.unsafe, *bundle.twice})),
    )
