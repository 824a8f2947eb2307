"""One run at a time in a folder: a lock that ends with its process, and says whose it is.

The lock is the operating system's (flock, or a byte range on Windows) on `.guda.lock` in the
folder, so that a killed run leaves none behind. Over NFS and SMB it reaches other computers where
server and mount pass locks on; Linux does so for NFS, unless it is mounted with `nolock` or
`local_lock=flock`. Where a file system has no locks at all, as Lustre without `-o flock`, the run
says so and goes on.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from ..errors import BusyError, SaveError
from ..steps import Step, Steps, warn
from . import REMEDIES, ensure_folder
from .temporary import sweep

NAME = ".guda.lock"
INTERVAL = 0.2  # seconds between two tries
_AT = 1 << 30  # Windows forbids others to read the locked byte: this one is beyond the owner's name


@dataclass(frozen=True)
class Owner:
    """Who holds a lock."""

    process: int
    thread: int
    host: str
    since: str

    @classmethod
    def here(cls) -> Owner:
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        return cls(os.getpid(), threading.get_ident(), socket.gethostname(), now)

    @property
    def is_here(self) -> bool:
        here = Owner.here()
        return (self.process, self.thread, self.host) == (here.process, here.thread, here.host)

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"


class Lock:
    """Held while a folder is written to; released at the end of the `with` block."""

    def __init__(self, folder: Path, file: int, made: list[Path], works: bool):
        self.folder, self._file, self._made = folder, file, made
        self.works = works
        """Whether the file system has locks."""

    def check(self) -> None:
        """Raises SaveError when the folder was deleted, moved or replaced in the meantime."""
        if not _is_at(self.folder / NAME, self._file):
            raise SaveError(
                f"{self.folder} was deleted, moved or replaced while this run was writing to it; "
                "run again to make what is missing."
            )

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        path, ours = self.folder / NAME, _is_at(self.folder / NAME, self._file)
        if sys.platform != "win32":
            if ours:  # before it is released, so that nobody locks a file that is then removed
                with contextlib.suppress(OSError):
                    path.unlink()
            os.close(self._file)
        else:
            _unlock(self._file)
            os.close(self._file)
            with contextlib.suppress(OSError):
                path.unlink()  # fails while another has it open, who then has the lock
        for folder in self._made if ours else ():
            with contextlib.suppress(OSError):
                folder.rmdir()  # only what is empty, as after a refused input


def take(folder: Path) -> Steps[Lock]:
    """Wait until nobody else works in `folder`, which is made if need be; yields while it waits.

    What killed runs left there of temporary files is removed. Raises SaveError, and BusyError where
    waiting has no end, as this very thread holds the lock.
    """
    folder = Path(folder)
    while True:
        made = _make(folder)
        try:
            file = os.open(
                folder / NAME, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666
            )
        except OSError as error:
            if error.errno == errno.ENOENT:
                continue  # removed between the two lines
            raise _refused(folder, error) from error
        try:
            state = _lock(file)
            if state and _is_at(folder / NAME, file):
                break
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        if state:
            continue  # its holder removed it between opening and locking
        holder = owner(folder)
        if holder is not None and holder.is_here:
            raise BusyError(
                f"{folder} is already being written to by an unfinished run of this very process; "
                "end that one first."
            )
        who = f"of {holder}" if holder else "elsewhere"
        yield Step("wait", 0, 0, f"for the run {who}, which writes to {folder}")
        time.sleep(INTERVAL)
    lock = Lock(folder, file, made, state == "locked")
    try:
        _sign(file)
        sweep(folder, alone=lock.works)
    except BaseException:
        lock.__exit__(None, None, None)
        raise
    if not lock.works:
        yield warn(f"The file system of {folder} has no locks: start no other run that uses it.")
    return lock


def owner(folder: Path) -> Owner | None:
    """Who wrote the lock file; None when there is none, or it is being written."""
    try:
        return Owner(**json.loads((folder / NAME).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _make(folder: Path) -> list[Path]:
    """Make the folder; returns those that were missing, innermost first."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        ensure_folder(folder)
    except OSError as error:
        raise _refused(folder, error) from error
    return missing


def _refused(folder: Path, error: OSError) -> SaveError:
    remedy = REMEDIES.get(error.errno or 0, "choose another folder")
    return SaveError(f"{folder} cannot be written to ({error.strerror}): {remedy}.")


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except OSError:
        return False


def _sign(file: int) -> None:
    """The owner is for people and may be missing: a full disk does not matter here."""
    with contextlib.suppress(OSError):
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, json.dumps(asdict(Owner.here())).encode())


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> str:
        os.lseek(file, _AT, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK, errno.EAGAIN):
                return ""
            return "no locks"
        return "locked"

    def _unlock(file: int) -> None:
        with contextlib.suppress(OSError):
            os.lseek(file, _AT, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> str:
        """ "locked", "no locks" where there are none, or "" when another holds it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK):
                return ""
            return "no locks"
        return "locked"

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
