"""A picture, and a set that passed its gates."""

from __future__ import annotations

import pytest
import torch

from guda.groups.pictures import save_png


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "fox.png"
    save_png(torch.rand(3, 40, 32, generator=torch.Generator().manual_seed(0)), path)
    return path


@pytest.fixture
def ready(backbone, make_lora, make_set, tmp_path):
    """A set that passed its gates."""
    loras = {n: make_lora(backbone, s) for n, s in (("dots", 1.0), ("waves", 0.0))}
    make_set(tmp_path / "ready", backbone, loras)
    return tmp_path / "ready"
