"""Heat maps: where they colour, what they leave alone, how they compare."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from guda.report.drawing import PAPER
from guda.report.heatmap import (
    NEGATIVE,
    POSITIVE,
    mask,
    overlay,
    shared_scale,
    upsample,
    with_legend,
)
from guda.report.placed import overlays
from guda.report.side_by_side import sheet

from .report_sample import face, sample


def spot(value: float = 1.0, row: int = 4, column: int = 4) -> torch.Tensor:
    """(16, 16), zero but for a 3 x 3 spot."""
    heat = torch.zeros(16, 16)
    heat[row - 1 : row + 2, column - 1 : column + 2] = value
    return heat


def grey(side: int = 64) -> torch.Tensor:
    return torch.full((3, side, side), 0.5)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float64) / 255


def test_a_grey_picture_is_unchanged_where_the_map_is_zero():
    drawn = pixels(overlay(grey(), spot(), scale=1.0, size=256))
    assert drawn.shape == (256, 256, 3)
    assert np.abs(drawn[160:] - 0.5).max() < 0.003
    center = drawn[72, 72]  # the middle of latent location (4, 4)
    assert np.abs(center - 0.5).max() > 0.15


def test_a_zero_map_keeps_the_picture_s_light_and_fades_its_colour():
    picture = face(0)
    drawn = pixels(overlay(picture, torch.zeros(16, 16), scale=0.0, size=128))
    plain = picture.permute(1, 2, 0).double().numpy()
    weights = np.array([0.299, 0.587, 0.114])
    assert np.abs(drawn @ weights - plain @ weights).max() < 0.01
    assert np.ptp(drawn, axis=-1).max() < 0.5 * np.ptp(plain, axis=-1).max()


def test_positive_is_orange_negative_is_violet():
    drawn = pixels(overlay(grey(), spot(1.0) - spot(1.0, 12, 12), scale=1.0, size=256))
    plus, minus = drawn[72, 72], drawn[200, 200]
    assert plus[0] > plus[1] > plus[2]
    assert minus[2] > minus[0] > minus[1]


def test_full_colour_has_the_opacity_asked_for():
    for value, color in ((2.0, POSITIVE), (-2.0, NEGATIVE)):
        drawn = pixels(overlay(grey(), torch.full((8, 8), value), scale=2.0, opacity=0.4, size=64))
        assert drawn == pytest.approx(np.broadcast_to(0.3 + 0.4 * np.array(color), (64, 64, 3)),
                                      abs=0.003)  # fmt: skip


def test_opacity_is_proportional_and_saturates():
    def change(value: float) -> float:
        drawn = pixels(overlay(grey(), torch.full((8, 8), value), scale=1.0, size=64))
        return float(np.abs(drawn - 0.5).mean())

    assert change(0.5) == pytest.approx(change(1.0) / 2, rel=0.03)
    assert change(0.25) == pytest.approx(change(1.0) / 4, rel=0.06)
    assert change(3.0) == change(1.0)


def test_odd_shapes_and_numbers_give_a_picture():
    heat = spot()
    heat[0, 0], heat[1, 1] = float("nan"), float("inf")
    assert overlay(torch.rand(3, 40, 80), heat, scale=1.0, size=256).size == (256, 128)
    assert overlay(torch.rand(3, 80, 40), heat[:2, :3], scale=1.0, size=256).size == (128, 256)
    assert overlay(face(0).half(), heat.double(), scale=1.0, size=64).size == (64, 64)


def test_smoothing_is_the_gaussian_s_and_leaves_the_map_alone():
    heat = torch.randn(16, 16, generator=torch.Generator().manual_seed(0))
    before = heat.clone()
    smooth = upsample(heat, 16, 16, smooth=0.7).numpy()
    oracle = gaussian_filter(heat.double().numpy(), 0.7, mode="nearest", truncate=3.0 / 0.7)
    assert smooth == pytest.approx(oracle, abs=1e-5)
    overlay(grey(), heat, scale=1.0, size=64)
    mask(heat, 1.0, smooth=1.0)
    assert torch.equal(heat, before)


def test_upsampling_keeps_place_and_range():
    heat = spot(3.0, 4, 11)
    large = upsample(heat, 256, 128)
    assert large.shape == (256, 128)
    assert float(large.max()) == pytest.approx(3.0) and float(large.min()) >= 0
    row, column = np.unravel_index(int(large.argmax()), large.shape)
    assert 16 * 3 <= row < 16 * 6 and 8 * 10 <= column < 8 * 13
    assert torch.equal(upsample(heat, 16, 16), heat)


def test_the_scale_is_robust_shared_and_never_hides_a_lone_spot():
    maps = torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(1))
    scale = shared_scale(maps, smooth=0)
    assert scale == pytest.approx(np.quantile(maps.abs().numpy(), 0.99))
    maps[0, 0, 0] = 1000.0
    assert shared_scale(maps, smooth=0) < 1.2 * scale
    lone = torch.zeros(4, 16, 16)
    lone[0, 3, 3] = 2.0
    assert shared_scale(lone, smooth=0) == 2.0
    assert shared_scale(torch.zeros(2, 4, 4)) == shared_scale([]) == 0.0


def test_mask_is_the_positive_part():
    heat = spot(2.0) - spot(2.0, 12, 12)
    assert torch.equal(mask(heat, 4.0), spot(0.5))
    assert torch.equal(mask(heat, 1.0), spot(1.0))
    assert float(mask(heat).max()) == 1.0
    assert not mask(torch.zeros(4, 4)).any()


def test_legend_adds_a_bar_with_both_colours_and_keeps_the_picture():
    image = overlay(grey(), spot(), scale=1.0, size=512)
    joined = with_legend(image, 0.25, "Twemoji")
    assert joined.width == 512 and joined.height > 540
    assert joined.crop((0, 0, 512, 512)).tobytes() == image.tobytes()
    bar = pixels(joined.crop((256, 512, 512, joined.height)))
    tint = bar[..., 0] - bar[..., 2]
    assert tint.max() > 0.4 and tint.min() < -0.12  # orange and violet
    orange, violet = np.argwhere(tint > 0.4)[:, 1], np.argwhere(tint < -0.12)[:, 1]
    assert violet.max() < orange.min()


def test_legend_text_follows_title_scale_and_unit():
    image = Image.new("RGB", (512, 512))
    drawn = {
        with_legend(image, *args).tobytes()
        for args in ((0.25, "a"), (0.25, "b"), (0.5, "a"), (0.25, "a", "weighted error"))
    }
    assert len(drawn) == 4
    long = with_legend(image, 0.25, "a very long name " * 30)
    gap = pixels(long.crop((282, 514, 294, long.height)))
    assert np.abs(gap - pixels(Image.new("RGB", (1, 1), PAPER))).max() < 0.01  # title was cut


def test_overlays_share_one_scale_and_come_best_first():
    attribution = sample()
    drawn, scale = overlays(attribution, 0, top=3, size=128)
    assert [o.group for o in drawn] == [s.group for s in attribution.images[0].scores[:3]]
    maps = [attribution.map_of(0, o.group) for o in drawn]
    assert scale == shared_scale(maps)
    bare = pixels(overlay(attribution.pictures[0], maps[0] * 0, scale=scale, size=128))
    changes = [np.abs(pixels(o.image) - bare).mean() for o in drawn]
    assert changes[0] > 1.5 * changes[1] > 0  # 12.3 nats against 4.1


@pytest.mark.parametrize("top", [1, 2, 3, 4, 5, 9])
def test_sheet_wraps_and_starts_with_the_picture(top):
    attribution = sample()
    drawn = sheet(attribution, 0, top=top, tile=128)
    tiles = 1 + min(top, 5)
    columns = {2: 2, 3: 3, 4: 2}.get(tiles, 3)
    assert drawn.width == 16 + columns * 144
    assert drawn.height > -(-tiles // columns) * 128
    first = pixels(drawn.crop((16, 16, 144, 144)))
    assert np.abs(first - attribution.pictures[0].permute(1, 2, 0).numpy()).max() < 0.01
    second = pixels(drawn.crop((160, 16, 288, 144)))
    assert np.abs(second - first).mean() > 0.02
