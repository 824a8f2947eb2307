"""Screening: the few styles that are worth unlearning, by the model's own answers."""

from __future__ import annotations

import json

import pytest
import torch

from guda.backbone.files.load import DEMO, load
from guda.cli import main
from guda.config import ElboConfig, SampleConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.demo import groups as demo_groups
from guda.errors import ConfigError
from guda.groups.draw import draw
from guda.groups.pictures import save_png
from guda.jobs.attribute import AttributeRequest
from guda.jobs.screen import screen
from guda.steps import drain

from ..cli.said import QUICK, unlearned


@pytest.fixture(scope="module")
def demo():
    return load(DEMO)


@pytest.fixture(scope="module")
def drawn(demo):
    """Two pictures in two of the five styles."""
    prompts = ["top hat, in ink style", "trophy, in twemoji style"]
    return list(drain(draw(demo, prompts, SampleConfig(seed=1, steps=10))))


def asked(backbone, drawn) -> AttributeRequest:
    without = DirectCounterfactuals.of(demo_groups())
    return AttributeRequest(
        backbone, without, drawn, ["a", "b"], ["top hat", "trophy"], ElboConfig(evaluations=8)
    )


def test_the_styles_of_the_pictures_come_first(demo, drawn):
    names = drain(screen(asked(demo, drawn), demo_groups(), 2))
    assert set(names) == {"Fluent Ink", "Twemoji"}
    some = ["EmojiOne", "Twemoji", "Noto Blob"]
    assert drain(screen(asked(demo, drawn[1:] * 2), demo_groups(), 1, some)) == ("Twemoji",)


@pytest.mark.parametrize("most", [0, 5, 9])
def test_a_number_that_chooses_nothing_is_refused(demo, drawn, most):
    with pytest.raises(ConfigError, match=f"screen is {most}, and there are 5 styles"):
        drain(screen(asked(demo, drawn), demo_groups(), most))


def test_the_command_unlearns_those_alone(model_folder, groups_folder, tmp_path, capsys):
    save_png(torch.rand(3, 32, 32), tmp_path / "p.png")
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(groups_folder)]
    argv += ["--out", str(tmp_path / "set"), "--json", *QUICK]
    assert main([*argv, "--screen", "1"]) == 2
    assert "screen is 1 and image is None; give both" in capsys.readouterr().err
    unlearned([*argv, "--screen", "1", "--image", str(tmp_path / "p.png")])
    told = capsys.readouterr()
    assert len(json.loads(told.out)["groups"]) == 1
    assert "Of 3 styles, those to unlearn for the pictures: " in told.err
