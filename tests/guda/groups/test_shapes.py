"""The shape in which a picture is scored: its own, rounded to what a model takes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from guda.groups.pictures import fit
from guda.groups.shapes import AS_IT_IS, box, size_for

SHAPES = [(64, 64), (100, 300), (777, 401), (512, 768), (1080, 1920), (600, 602), (3000, 4500)]
MODELS = [(64, 8), (512, 64), (1024, 16)]


@pytest.mark.parametrize(("resolution", "multiple"), MODELS)
@pytest.mark.parametrize(("h", "w"), SHAPES)
def test_sides_are_multiples_the_area_is_the_model_s_and_the_shape_the_picture_s(
    h, w, resolution, multiple
):
    height, width = size_for(h, w, resolution, multiple)
    assert height % multiple == width % multiple == 0
    assert 1 / AS_IT_IS <= height * width / resolution**2 <= AS_IT_IS
    off = multiple / 2 * (1 / height + 1 / width)
    assert abs(math.log(height / width) - math.log(h / w)) < 1.1 * off
    assert size_for(height, width, resolution, multiple) == (height, width), "scored again"
    assert size_for(w, h, resolution, multiple) == (width, height)


def test_a_square_is_the_model_s_square():
    assert {size_for(n, n, 512, 64) for n in (16, 500, 512, 640)} == {(512, 512)}


def test_what_fits_stays_as_it_is():
    assert size_for(768, 512, 512, 64) == (768, 512)
    assert size_for(832, 1216, 1024, 64) == (832, 1216)
    assert size_for(1536, 1024, 512, 64) == (640, 448)  # too large


@pytest.mark.parametrize("size", [32, (32, 32)])
def test_a_square_is_cut_as_ever(size):
    """Byte by byte what Pillow makes of the short side's square."""
    picture = torch.rand(3, 40, 57, generator=torch.Generator().manual_seed(0))
    channel = Image.fromarray(picture[1].numpy())
    want = channel.resize((32, 32), Image.Resampling.LANCZOS, (8.5, 0, 48.5, 40))
    assert torch.equal(fit(picture, size)[1], torch.from_numpy(np.array(want)).clamp(0, 1))


def test_nothing_is_stretched():
    """A round spot stays round."""
    y, x = torch.meshgrid(torch.arange(90.0), torch.arange(200.0), indexing="ij")
    spot = (torch.hypot(x - 100, y - 45) < 30).float().expand(3, 90, 200)
    seen = fit(spot, (48, 112))[0] > 0.5
    high, wide = seen.any(1).sum(), seen.any(0).sum()
    assert abs(int(high) - int(wide)) <= 1


def test_the_box_is_centred_and_as_large_as_can_be():
    assert box(100, 300, (64, 64)) == (100, 0, 200, 100)
    assert box(300, 100, (64, 64)) == (0, 100, 100, 200)
    left, top, right, bottom = box(100, 310, (64, 192))
    assert (top, bottom) == (0, 100) and (left, right) == (5, 305)
