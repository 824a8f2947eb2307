"""Pictures that are unlearned at a smaller size than they are checked and scored at."""

from __future__ import annotations

import pytest
import torch

from guda.backbone import build
from guda.backbone.files.load import load
from guda.counterfactuals import recipe_key, survey, unlearn_set
from guda.errors import ConfigError
from guda.groups.encode import encode_groups
from guda.steps import drain


@pytest.fixture(scope="module")
def backbone(model_folder):
    return load(model_folder)


def test_held_out_pictures_keep_the_models_size(backbone, groups, recipe):
    side, (c, h, w) = backbone.resolution, backbone.latent_shape
    whole = drain(encode_groups(backbone, groups, recipe.heldout))
    small = drain(encode_groups(backbone, groups, recipe.heldout, resolution=side // 2))
    for name, group in small.items():
        assert group.latents.shape[1:] == (c, h // 2, w // 2)
        assert group.train == whole[name].train and group.heldout == whole[name].heldout
        torch.testing.assert_close(group.heldout_latents, whole[name].heldout_latents)


def test_the_lora_is_another_and_is_checked_on_the_same_pictures(
    backbone, groups, recipe, tmp_path
):
    small = recipe.replace(unlearn_resolution=backbone.resolution // 2)
    assert recipe_key(backbone, groups, "dots", small) != recipe_key(
        backbone, groups, "dots", recipe
    )
    made = [
        drain(unlearn_set(backbone, groups, r, tmp_path / str(i), ["dots"]))
        for i, r in enumerate((recipe, small))
    ]
    (whole, other), (a, b) = made, [m.entries[0] for m in made]
    full = [(e.gate.forget_full, e.gate.retain_full) for e in (a, b)]
    assert full[0] == pytest.approx(full[1], rel=1e-5)
    assert a.losses != b.losses
    assert set(other.load(b, backbone).layers) == set(whole.load(a, backbone).layers)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unlearn_resolution": 7}, "unlearn_resolution is 7; give a multiple of"),
        ({"unlearn_resolution": 4096}, "unlearn_resolution is 4096; give a multiple of"),
        (
            {"unlearn_resolution": 16, "operator": "retrack"},
            "the operator 'retrack' looks for the pictures that are nearest",
        ),
    ],
)
def test_what_does_not_fit_is_refused(backbone, groups, recipe, tmp_path, changes, words):
    with pytest.raises(ConfigError, match=words):
        survey(backbone, groups, recipe.replace(**changes), tmp_path)


def test_a_model_of_one_size_keeps_it(groups, recipe, tmp_path):
    with pytest.raises(ConfigError, match="takes pictures of 16 pixels only"):
        survey(
            build.digits(0),
            groups,
            recipe.replace(operator="esd", unlearn_resolution=8),
            tmp_path,
        )
