"""SDXL at its real size, on request: it takes 7 GB on disk, 12 GB of memory and many minutes.

python -m pytest tests/guda/backbone/sdxl_full_size.py -s
"""

from __future__ import annotations

import resource
import time
from itertools import pairwise

import pytest
import torch

from guda.backbone.files.load import load
from guda.config import ElboConfig, UnlearnConfig
from guda.jobs.attribute import AttributeRequest, attribute
from guda.jobs.unlearn import UnlearnRequest, unlearn
from guda.steps import drain

from ...checkpoints import FULL, write, write_tokenizer

ONE_STEP = UnlearnConfig(
    steps=1, lr=1e-3, rank=4, batch_size=1, retain_batch_size=1, warmup=0, anchor="uniform"
)


@pytest.mark.slow
def test_sdxl_at_full_size(groups, make_set, tmp_path):
    """Load in bf16 -> unlearn one style for one step -> save -> score with a few evaluations."""
    path = write(tmp_path / "sdxl.safetensors", FULL["sdxl"])
    size, at = path.stat().st_size, [time.monotonic()]
    folder = write_tokenizer(tmp_path / "tokenizer")
    backbone = load(path, dtype=torch.bfloat16, resolution=64, tokenizer=folder)
    path.unlink()
    at.append(time.monotonic())
    request = UnlearnRequest(backbone, groups, tmp_path / "set", ONE_STEP, ["dots"])
    made = drain(unlearn(request))
    at.append(time.monotonic())
    lora = made.load(made.entries[0], backbone)
    assert len(lora.layers) == 560
    passed = make_set(tmp_path / "passed", backbone, {"dots": lora})
    picture = torch.rand(3, 64, 64)
    config = ElboConfig(evaluations=4, batch_size=2)
    asked = AttributeRequest(backbone, passed, [picture], ["x"], ["a fox"], config)
    found = drain(attribute(asked)).images[0]
    at.append(time.monotonic())
    assert found["dots"].delta != 0
    seconds = [round(b - a) for a, b in pairwise(at)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"\nsdxl: file {size / 1e9:.2f} GB, peak RSS {peak / 1e9:.2f} GB, seconds to load, "
        f"unlearn, score: {seconds}"
    )
