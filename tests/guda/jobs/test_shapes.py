"""Pictures of several shapes in one job."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from guda.config import ElboConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.jobs.attribute import AttributeRequest, attribute
from guda.report import placed, save, side_by_side, to_dict
from guda.steps import drain

STYLES = {"Dots": "dots", "Stripes": "stripes"}
CONFIG = ElboConfig(evaluations=4)
SHAPES = [(32, 32), (24, 96), (40, 40), (60, 30), (24, 96)]


def pictures():
    rng = torch.Generator().manual_seed(0)
    return [torch.rand(3, *shape, generator=rng) for shape in SHAPES]


def ask(backbone, given, config=CONFIG):
    made = DirectCounterfactuals.named(STYLES)
    names = [f"{i}.png" for i in range(len(given))]
    return AttributeRequest(backbone, made, given, names, ["a fox"], config)


def deltas(found):
    return np.array([[i.elbo, *(i[g].delta for g in found.groups)] for i in found.images])


@pytest.fixture(scope="module")
def steps():
    return []


@pytest.fixture(scope="module")
def mixed(model_folder, steps):
    from guda.backbone.files.load import load

    return drain(attribute(ask(load(model_folder), pictures())), steps.append)


def test_every_picture_is_scored_as_if_alone(backbone, mixed):
    for i, picture in enumerate(pictures()):
        alone = drain(attribute(ask(backbone, [picture])))
        np.testing.assert_allclose(deltas(mixed)[[i]], deltas(alone), rtol=1e-3, atol=1e-2)
        torch.testing.assert_close(mixed.maps[i], alone.maps[0], rtol=1e-3, atol=1e-3)
        assert torch.equal(mixed.pictures[i], alone.pictures[0])


def test_maps_have_the_pictures_shapes_and_sum_to_the_deltas(mixed):
    sides = [(32, 32), (16, 64), (32, 32), (44, 24), (16, 64)]
    assert [tuple(p.shape[1:]) for p in mixed.pictures] == sides
    assert [tuple(m.shape[1:]) for m in mixed.maps] == [(h // 2, w // 2) for h, w in sides]
    for i, image in enumerate(mixed.images):
        for group in mixed.groups:
            total = float(mixed.map_of(i, group).sum())
            assert total == pytest.approx(image[group].delta, rel=1e-3, abs=1e-2)


def test_progress_counts_all_pictures_once(mixed, steps):
    done = [s for s in steps if s.stage == "score"]
    assert {s.total for s in done} == {5 * 4 * 3} and done[-1].done == 60
    assert [s.done for s in done] == sorted(s.done for s in done)


def test_a_square_and_the_former_square_crop_are_as_before(backbone):
    given = pictures()
    square = CONFIG.replace(shape="square")
    before = drain(attribute(ask(backbone, given, square)))
    assert before.pictures.shape == (5, 3, 32, 32) and before.maps.shape[2:] == (16, 16)
    own = drain(attribute(ask(backbone, [given[0], given[2]])))
    cut = drain(attribute(ask(backbone, [given[0], given[2]], square)))
    assert torch.equal(own.maps, cut.maps) and (deltas(own) == deltas(cut)).all()


def test_a_pilot_is_shared_by_all_shapes(backbone):
    config = CONFIG.replace(schedule="importance", pilot=4)
    found = drain(attribute(ask(backbone, pictures()[:2], config)))
    assert found.unet_evaluations == 2 * 8 * 3
    assert found.profile.shape == (2, 2, 2)


def test_a_report_shows_all_shapes(mixed, tmp_path):
    saved = save(mixed, tmp_path / "report")
    assert len(saved.cards) == 5
    assert [len(i["scores"]) for i in to_dict(mixed)["images"]] == [2] * 5


def test_masks_and_overlays_lie_where_the_model_looked(mixed):
    scale = 1.0
    for shape, box in {(24, 96): (0, 0, 96, 24), (60, 30): (0, 2, 30, 57)}.items():
        i = SHAPES.index(shape)
        heat = torch.ones_like(mixed.maps[i][0])
        at = mixed.original_of(i), mixed.pictures[i]
        mask = placed.mask(*at, heat, scale)
        left, top, right, bottom = box
        assert tuple(mask.shape) == shape
        assert mask[top:bottom, left:right].min() > 0.99
        assert mask.sum() == pytest.approx((right - left) * (bottom - top))
        painted = placed.overlay(*at, heat, scale, 0.65)
        assert painted.width / painted.height == pytest.approx(shape[1] / shape[0], rel=0.01)
        assert (
            placed.picture(mixed, i, 60).size
            == painted.resize(tuple(round(60 * side / max(shape)) for side in reversed(shape))).size
        )
        layer = placed.layers(mixed, i, size=max(shape))[0][0].image
        assert layer.size == (shape[1], shape[0])
        outside = np.ones(shape, bool)
        outside[top:bottom, left:right] = False
        assert not np.asarray(layer)[outside].any(), "colours where the model saw nothing"
    whole = dataclasses.replace(mixed, originals=())
    assert tuple(whole.original_of(1).shape) == (3, 16, 64)
    assert side_by_side.sheet(mixed, 1).width > 300
