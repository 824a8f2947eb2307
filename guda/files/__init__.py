"""Portable file names, and files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

from ..errors import SaveError
from . import temporary as temporaries

SLUG_LENGTH = 80
WINDOWS_DEVICES = {"con", "nul", "prn", "aux"} | {
    f"{d}{n}" for d in ("com", "lpt") for n in "123456789"
}

_FULL = "the disk is full: free space and run again; nothing was overwritten"
_LOCKED = (
    "check that the folder can be written to and that no program holds the file open, as ComfyUI "
    "does with a LoRA that it has loaded, until its models and cache are freed"
)
REMEDIES = {
    errno.ENOSPC: _FULL,
    getattr(errno, "EDQUOT", errno.ENOSPC): _FULL,
    errno.EFBIG: "the file would be larger than this disk or account allows: choose another disk",
    errno.EACCES: _LOCKED,
    errno.EPERM: _LOCKED,
    errno.EROFS: "the disk is read-only: choose another folder",
    errno.ENOTDIR: "a part of the path is a file: choose another folder",
    errno.EISDIR: "a folder has this name: choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "the folder vanished in the meantime: run again",
}


def write_atomically(
    path: Path,
    write: Callable[[Path], None],
    *,
    previous: Path | None = None,
    make_folder: bool = True,
) -> None:
    """Make `path` by `write(temporary)` and a move, so that readers see the old file or the new.

    The new contents are on the disk before the move, so that a power cut leaves no empty file. The
    temporary file lies in the same folder, and is removed when anything goes wrong.
    previous: where the old file goes. make_folder: make missing folders, instead of failing.
    Raises SaveError for an OSError, or for safetensors' account of one; any other exception of
    `write` passes through.
    """
    path = Path(path)
    temporary = temporaries.beside(path)
    try:
        if make_folder:
            ensure_folder(path.parent)
        write(temporary)
        _sync(temporary)
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
    except Exception as error:
        system = _system_error(error)
        if system is None:
            raise
        remedy = REMEDIES.get(system.errno or 0, "choose another folder")
        reason = system.strerror or str(system)
        raise SaveError(f"{path} could not be written ({reason}): {remedy}.") from error
    finally:
        _remove(temporary)
    _sync_folder(path.parent)


def write_bytes(path: Path, data: bytes, *, make_folder: bool = True) -> None:
    write_atomically(path, lambda temporary: _write(temporary, data), make_folder=make_folder)


def ensure_folder(folder: Path) -> None:
    """Make it and those above it, also where another run removes it, empty as it is, at the same
    moment: mkdir finds it, and then it is no folder. Raises OSError.
    """
    for _ in range(9):
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            return folder.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)


def set_aside(path: Path) -> Path:
    """Move a damaged file out of the way, to where no list of models shows it; returns where."""
    aside = path.with_name(f"{path.name}.damaged")
    try:
        os.replace(path, aside)
    except OSError as error:
        raise SaveError(
            f"{path} is damaged and could not be set aside ({error.strerror}): delete it, and "
            "check that the folder can be written to."
        ) from error
    return aside


def write_text(path: Path, text: str, *, make_folder: bool = True) -> None:
    """UTF-8 with the line ends as given, the same bytes on every platform."""
    write_bytes(path, text.encode("utf-8"), make_folder=make_folder)


def slugify(name: str) -> str:
    """A portable file name (no suffix) for any name: ASCII, lower case, never empty, never a path.

    Accents are dropped. When other characters are lost, a hash of the name is appended, so that
    names in other scripts stay apart.
    """
    plain = [c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)]
    lost = any(not c.isascii() and unicodedata.category(c)[0] in "LNS" for c in plain)
    slug = re.sub(r"[^a-z0-9]+", "-", "".join(plain).lower()).strip("-")
    if lost or not slug or len(slug) > SLUG_LENGTH:
        raw = unicodedata.normalize("NFC", name).encode("utf-8", "surrogatepass")
        suffix = hashlib.blake2b(raw, digest_size=4).hexdigest()
        slug = f"{slug[: SLUG_LENGTH - 9].strip('-') or 'style'}-{suffix}"
    return f"{slug}-style" if slug in WINDOWS_DEVICES else slug


def _system_error(error: Exception) -> OSError | None:
    """The OSError behind `error`. safetensors tells it in words only: "... full (os error 28)"."""
    if isinstance(error, OSError):
        return error
    told = re.search(r"([^:]*) \(os error (\d+)\)", str(error))
    return OSError(int(told[2]), told[1].strip(), None, int(told[2])) if told else None


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):  # not offered here
            raise
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    """So that the move lasts, too. Not offered on Windows, and no error where it fails."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # the error that matters is already on its way
        path.unlink(missing_ok=True)
