"""Who does a unit of work: a file with a heartbeat, taken over when its holder is gone.

Nobody's clock is compared with another's: ages are told by the file system that holds the leases.
Two who take the same stale lease at once can both believe to hold it for one heartbeat; then one of
them finds the other's name in the file and stops. Results are written whole and are the same bytes
whoever makes them, so that this costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from ..errors import SaveError
from ..files import REMEDIES, ensure_folder
from ..files.temporary import ABROAD

BEAT = 2.0
"""Seconds between two heartbeats."""
STALE = 30.0
"""Seconds without a heartbeat after which another takes the lease over."""
FOLDER = ".guda-units"
"""Of the leases, in the folder of the results."""
MARK = ".mark"
"""Of a file there by which workers know the folder again; no lease, it has no heartbeat."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lease."""

    token: str
    host: str
    process: int
    started: float  # when the process was, so that a number that is given again is told apart

    @classmethod
    def here(cls) -> Holder:
        started = psutil.Process().create_time()
        return cls(uuid.uuid4().hex, socket.gethostname(), os.getpid(), started)

    @property
    def has_ended(self) -> bool:
        """Whether its process is of this machine and runs no more."""
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.process)
            gone = process.status() == psutil.STATUS_ZOMBIE
            return gone or abs(process.create_time() - self.started) > 1
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False


class Lease:
    """A unit that is this process's to do, until `release` or until it `is_lost`."""

    def __init__(self, path: Path, holder: Holder):
        self._path, self._holder = path, holder

    def beat(self) -> bool:
        """Say that the holder lives; False when another has taken the lease over."""
        held = holder_of(self._path)
        if held is not None and held.token == self._holder.token:
            with contextlib.suppress(OSError):
                os.utime(self._path)
        return held is None or held.token == self._holder.token

    def release(self) -> None:
        """For others to take, if it is still held."""
        held = holder_of(self._path)
        if held is not None and held.token == self._holder.token:
            with contextlib.suppress(OSError):
                self._path.unlink()


def take(path: Path, stale: float = STALE) -> Lease | None:
    """The lease, or None while another holds it. Raises SaveError."""
    me = Holder.here()
    try:
        while True:
            ensure_folder(path.parent)
            try:
                file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                if not _set_aside(path, me, stale):
                    return None
                continue
            except FileNotFoundError:
                continue  # the folder was swept between the two lines
            with os.fdopen(file, "w", encoding="utf-8") as out:
                json.dump(asdict(me), out)
            return Lease(path, me)
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "choose another folder")
        raise SaveError(f"{path} cannot be written ({error.strerror}): {remedy}.") from error


def holder_of(path: Path) -> Holder | None:
    """None where there is no lease, or it is being written."""
    try:
        return Holder(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def sweep(folder: Path, stale: float = STALE) -> None:
    """Remove the leases of those who are gone, and the folder if that empties it."""
    me = Holder.here()
    with contextlib.suppress(OSError):
        for path in list(folder.iterdir()):
            _set_aside(path, me, ABROAD if path.suffix == MARK else stale)
        folder.rmdir()


def _set_aside(path: Path, me: Holder, stale: float) -> bool:
    """Take an abandoned lease out of the way; False while its holder lives."""
    held = holder_of(path)
    if not (held and held.has_ended) and _age(path, me) < stale:
        return False
    aside = path.with_name(f"{me.token}.aside")
    try:
        os.replace(path, aside)
    except FileNotFoundError:
        return True  # another was faster
    if holder_of(aside) != held:  # another has taken it over in between: it is theirs
        with contextlib.suppress(OSError):
            os.link(aside, path)
    aside.unlink(missing_ok=True)
    return True


def _age(path: Path, me: Holder) -> float:
    """Seconds since the last heartbeat, by the clock of the file system."""
    probe = path.with_name(f"{me.token}.now")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    finally:
        probe.unlink(missing_ok=True)
