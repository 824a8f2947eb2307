"""CLIP's image features, from a folder on this machine, for `picture_prototype` and `_knn`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ModelError
from ..files.reading import read_json

_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def clip_features(folder: Path, device: torch.device | str = "cpu") -> Callable[[Tensor], Tensor]:
    """Pictures (n, 3, H, W) in [0, 1] -> projected features (n, d).

    Raises ModelError when the folder holds no CLIP vision model.
    """
    from transformers import CLIPVisionModelWithProjection

    try:
        model: Any = CLIPVisionModelWithProjection.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder} holds no CLIP vision model ({error}); give a folder with config.json and "
            "model.safetensors."
        ) from error
    model = model.eval().requires_grad_(False).to(device)
    side = model.config.image_size
    path = Path(folder) / "preprocessor_config.json"
    told = read_json(path, kind=ModelError) if path.exists() else {}
    mean = torch.tensor(told.get("image_mean", _MEAN), device=device).view(3, 1, 1)
    std = torch.tensor(told.get("image_std", _STD), device=device).view(3, 1, 1)

    @torch.no_grad()
    def encode(pictures: Tensor) -> Tensor:
        x = F.interpolate(pictures.to(device), (side, side), mode="bicubic", antialias=True)
        return model(pixel_values=(x.clamp(0, 1) - mean) / std).image_embeds

    return encode
