"""What an attribution was computed from: kept with it, so that it can be shown and repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Origin:
    """JSON values that say what was at work, and the files that they stand in.

    latents: (I, c, h, w), where they were scored in place of pictures.
    unrepeatable: why the scores cannot be repeated from what is here; "" if they can.
    """

    model: Mapping[str, Any]  # name, fingerprint, identity, overrides, precision, device
    counterfactuals: Mapping[str, Any]  # kind "direct" or "unlearned", id, styles, ...
    model_files: tuple[Path, ...] = ()
    style_files: Mapping[str, Path] = field(default_factory=dict)  # by style
    latents: Tensor | None = None
    unrepeatable: str = ""
