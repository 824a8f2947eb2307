"""Whether a folder can be written to, and text be written down, asked before hours of work."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from ..errors import SaveError

LONGEST_NAME, LONGEST_PATH = 255, 4096 - 300  # bytes; the files of a run need room below it


def check_folder(folder: Path, name: str) -> None:
    """Raises SaveError when nothing could be written to `folder`, which need not exist yet.

    name: of the setting that gave it. A file is written to it, or to the nearest folder above that
    exists, and removed again; nothing else is made.
    """
    folder = Path(folder)

    def refused(reason: str) -> SaveError:
        return SaveError(f"{name} is {folder}, {reason}; give another folder.")

    parts = [os.fsencode(part) for part in folder.absolute().parts]
    if max(map(len, parts)) > LONGEST_NAME or sum(map(len, parts)) + len(parts) > LONGEST_PATH:
        raise refused("which is too long a name")
    there = folder.absolute()
    while not os.path.lexists(there):
        there = there.parent
    if not os.path.isdir(there):
        what = "is a file" if os.path.exists(there) else "leads nowhere"
        raise refused(f"which {what}" if there == folder.absolute() else f"where {there} {what}")
    probe = there / f".{uuid4().hex[:12]}"
    try:
        if there == folder.absolute():
            probe.touch(exist_ok=False)
            probe.unlink()
        else:
            probe.mkdir()
            probe.rmdir()
    except OSError as error:
        raise refused(f"which cannot be written to ({error.strerror})") from error


def check_text(text: str, name: str) -> None:
    """Raises SaveError when no file can hold `text`, as when a name's bytes are no UTF-8.

    name: what the text is.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise SaveError(
            f"{name} is {text!a:.80}, which holds characters that no file can; give another."
        ) from None
