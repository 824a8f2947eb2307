"""ComfyUI's IMAGE (n, H, W, C) and the pack's pictures: tensors (3, H, W) and Pillow images."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..guda.files import slugify, write_atomically, write_text
from ..guda.report.drawing import PAPER


def from_batch(image: Tensor) -> list[Tensor]:
    """(n, H, W, C) -> n of (C, H, W); copies, as tensors made in inference mode cannot be used."""
    return [picture.permute(2, 0, 1).clone() for picture in image]


def to_batch(images: Sequence[Image.Image]) -> Tensor:
    """(n, H, W, 3) in [0, 1]; smaller pictures get a margin at the right and the bottom."""
    width, height = max(i.width for i in images), max(i.height for i in images)
    batch = []
    for image in images:
        sheet = Image.new("RGB", (width, height), PAPER)
        sheet.paste(image, (0, 0))
        batch.append(torch.from_numpy(np.array(sheet)).float() / 255)
    return torch.stack(batch)


def lines(text: str) -> list[str]:
    """One prompt per line; blank lines count between others. Never empty: "" is a prompt."""
    return [line.strip() for line in text.strip().splitlines()] or [""]


def save_temp(content: Image.Image | str, folder: Path, name: str) -> dict[str, str]:
    """Writes a PNG, or a page of HTML, into a subfolder of ComfyUI's temp folder.

    Returns what /view needs to show it.
    """
    file = f"{slugify(name)}-{uuid.uuid4().hex[:12]}"
    if isinstance(content, str):
        file += ".html"
        write_text(folder / file, content)
    else:
        file += ".png"
        write_atomically(folder / file, lambda temporary: content.save(temporary, "PNG"))
    return {"filename": file, "subfolder": folder.name, "type": "temp"}
