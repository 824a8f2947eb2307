"""The ZIP of a bundle: the same bytes for the same contents, and read without trusting it.

SHA256SUMS lists every other file in the form of `sha256sum -c`, so that a bundle can be checked
without this program. What is read is never unpacked: no name in it becomes a path.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..errors import EvidenceError, first_line
from ..files import write_atomically
from ..files.reading import MIB, TABLE, shown

SUMS = "SHA256SUMS"
SIGNATURE = ("META-INF/", "META-INF/content_credential.c2pa")
"""Where content credentials lie in a ZIP, after C2PA's own specification."""
MOST_FILES, MOST_BYTES = 20_000, 4 << 30
_SAFE = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+ -]*(/[A-Za-z0-9_+-][A-Za-z0-9._+ -]*)*")
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_PART = MIB
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


def write(path: Path, files: Iterable[tuple[str, bytes]]) -> str:
    """Write the files, in their order, and their sums; returns the bundle's name, see `name_of`.

    Nothing is compressed: what a compressor makes depends on its version. Raises SaveError.
    """
    sums: dict[str, str] = {}

    def fill(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name, data in files:
                if name in sums or not _SAFE.fullmatch(name):
                    raise ValueError(f"{name!r} stands there twice, or is no name for a file")
                sums[name] = hashlib.sha256(data).hexdigest()
                archive.writestr(_entry(name), data)
            archive.writestr(_entry(SUMS), _lines(sums))

    write_atomically(path, fill)
    return name_of(_lines(sums))


def name_of(sums: bytes) -> str:
    """What names a whole bundle: the SHA-256 of its list of sums."""
    return hashlib.sha256(sums).hexdigest()


def _entry(name: str) -> zipfile.ZipInfo:
    """The same on every machine and at any time."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.create_system, entry.external_attr = 3, 0o644 << 16
    return entry


def _lines(sums: Mapping[str, str]) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode()


class Archive:
    """A bundle that somebody gave us. Raises EvidenceError for what is none."""

    def __init__(self, path: Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise EvidenceError(f"{path} is no file; give a bundle that `guda evidence` made.")
        try:
            self._zip = zipfile.ZipFile(self.path)
        except _BROKEN as error:
            raise self._refused(f"is no ZIP file ({first_line(error)})") from None
        entries = self._zip.infolist()
        if len(entries) > MOST_FILES or sum(e.file_size for e in entries) > MOST_BYTES:
            self.close()
            raise self._refused(f"holds more than {MOST_FILES} files or {MOST_BYTES >> 30} GiB")
        self._entries = {e.filename: e for e in entries}
        self.twice = tuple(sorted(_twice([e.filename for e in entries])))
        self.unsafe = tuple(sorted(n for n in self._entries if not _is_safe(self._entries[n])))
        self._left = MOST_BYTES

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._zip.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Files alone."""
        return tuple(sorted(n for n in self._entries if not n.endswith("/")))

    @property
    def signed(self) -> bool:
        return SIGNATURE[-1] in self._entries

    def read(self, name: str, limit: int = TABLE) -> bytes:
        """Raises EvidenceError where it is missing, damaged or longer than `limit` bytes."""
        parts, left = [], limit
        for part in self._parts(name):
            parts.append(part)
            left -= len(part)
            if left < 0:
                raise self._refused(f"holds {name}, which is larger than {limit // MIB} MiB")
        return b"".join(parts)

    def sha256(self, name: str) -> str | None:
        """None where the file cannot be read whole."""
        h = hashlib.sha256()
        try:
            for part in self._parts(name):
                h.update(part)
        except _Unreadable:
            return None
        return h.hexdigest()

    def sums(self) -> dict[str, str]:
        """What the list says of every file. Raises EvidenceError where it is no such list."""
        listed: dict[str, str] = {}
        for line in self.read(SUMS).decode("utf-8", "replace").splitlines():
            read = _LINE.fullmatch(line)
            if read is None or read[2] in listed:
                raise self._refused(f"has a line in {SUMS} that is {shown(line)}")
            listed[read[2]] = read[1]
        return listed

    def _parts(self, name: str) -> Iterator[bytes]:
        """What headers say of sizes is not believed: bytes are counted as they come."""
        entry = self._entries.get(name)
        if entry is None:
            raise _Unreadable(f"{self.path} has no {name}; give a bundle that is whole.")
        try:
            with self._zip.open(entry) as file:
                while part := file.read(_PART):
                    self._left -= len(part)
                    if self._left < 0:
                        raise self._refused(f"unpacks to more than {MOST_BYTES >> 30} GiB")
                    yield part
        except _BROKEN as error:
            reason = f"{self.path} has {name}, which cannot be read ({first_line(error)})"
            raise _Unreadable(f"{reason}; ask for the bundle again.") from None

    def _refused(self, what: str) -> EvidenceError:
        return EvidenceError(
            f"{self.path} {what}, so it is no bundle to be checked; give one that `guda evidence` "
            "made."
        )


class _Unreadable(EvidenceError):
    pass


def _is_safe(entry: zipfile.ZipInfo) -> bool:
    """A plain file whose name stays in the folder that somebody unpacks it into."""
    if entry.filename in SIGNATURE:
        return True
    link = (entry.external_attr >> 16) & 0o170000 == 0o120000
    return bool(_SAFE.fullmatch(entry.filename)) and not link and not entry.flag_bits & 1


def _twice(names: Iterable[str]) -> set[str]:
    """Names that stand there twice, or would on a disk that does not tell case apart."""
    seen: set[str] = set()
    return {n for n in names if n.casefold() in seen or seen.add(n.casefold())}
