"""What the pack puts into ComfyUI's input folder."""

from __future__ import annotations

import logging
from pathlib import Path

import folder_paths

from ..guda.files import write_bytes

ASKED = "guda_fox.png"  # what quick_start asks about, in the input folder
ASKED_PICTURE = Path(__file__).parents[1] / "guda" / "demo" / "fox.png"


def offer_example() -> None:
    """Puts the picture that quick_start asks about into the input folder, where it is not yet."""
    target = Path(folder_paths.get_input_directory(), ASKED)
    try:
        if not target.exists():
            write_bytes(target, ASKED_PICTURE.read_bytes())
    except OSError as error:  # of a folder that nobody may write to: the template asks for another
        logging.info("GUDA: %s was not put into the input folder: %s", ASKED, error)
