import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from guda.config import ElboConfig, SampleConfig, UnlearnConfig
from guda.errors import ConfigError
from guda.settings import digest
from guda.unlearning.recipe import LARGE, recommended


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"steps": 0}, "steps is 0; the least allowed is 1"),
        ({"steps": 2.5}, "steps is 2.5; give a int"),
        ({"lr": float("nan")}, "lr is nan; give a finite number"),
        ({"lr": 3.0}, "lr is 3.0; the most allowed is 1"),
        ({"anchor": "best"}, "anchor is 'best'; choose one of: awss, uniform"),
        ({"heldout": 0.9}, "heldout is 0.9; the most allowed is 0.5"),
    ],
)
def test_a_bad_setting_is_named_with_its_value_and_the_remedy(change, says):
    with pytest.raises(ConfigError, match=says.replace(".", r"\.")):
        UnlearnConfig(**change)


def test_odd_evaluations_are_refused():
    with pytest.raises(ConfigError, match="evaluations is 7; give an even number"):
        ElboConfig(evaluations=7)


def test_warm_up_never_outlasts_training():
    assert UnlearnConfig(steps=2).warmup == 2


def test_integers_are_taken_for_floats():
    assert UnlearnConfig(preserve_weight=2).preserve_weight == 2.0


@pytest.mark.parametrize("kind", [UnlearnConfig, ElboConfig, SampleConfig])
def test_every_setting_is_documented_and_its_default_allowed(kind):
    for f in dataclasses.fields(kind):
        assert len(f.metadata["help"]) > 10, f.name
    assert json.loads(json.dumps(kind().as_dict())) == kind().as_dict()


def test_a_recipe_suits_the_size_of_the_model():
    def model(weights: int, conditional: bool = True) -> Any:
        with torch.device("meta"):
            unet = torch.nn.Linear(weights, 1, bias=False)
        return SimpleNamespace(unet=unet, conditional=conditional)

    assert recommended(model(LARGE - 1)) == UnlearnConfig()
    large = recommended(model(LARGE))
    assert (large.steps, large.lr, large.rank, large.batch_size) == (1500, 1e-4, 16, 4)
    assert large.anchor == UnlearnConfig().anchor
    wordless = recommended(model(1, False))
    assert (wordless.operator, wordless.kl_cap) == ("teacher_anchored", 8.0)


def test_digest_does_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})


def test_later_settings_do_not_rename_what_was_made_before():
    before = UnlearnConfig(caption_dropout=0.0)
    later = {"caption_dropout": 0.0, "repeats": 1, "anchors": 1, "stop": "never", "goal": 0.7}
    later |= {"lr_probe": "never", "unlearn_resolution": 0, "start": "zero"}
    assert not later.keys() & before.as_key().keys()
    assert UnlearnConfig(caption_dropout=0.25).as_key() == {
        **before.as_key(),
        "caption_dropout": 0.25,
    }
    assert before.as_key() | later == before.as_dict()


def test_threads_of_the_command_line_do_not_spin():
    """Whoever starts it may say otherwise; it has to be said before torch is imported."""
    source = (Path(__file__).parents[2] / "guda" / "__main__.py").read_text("utf-8")
    assert source.index('setdefault("OMP_WAIT_POLICY", "PASSIVE")') < source.index("from .cli")
