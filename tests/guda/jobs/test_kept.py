"""Scores of an earlier run: found by what they depend on, and by nothing else."""

from __future__ import annotations

import os

import pytest
import torch

from guda.config import ElboConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.jobs import kept
from guda.jobs.attribute import AttributeRequest, survey
from guda.steps import drain

STYLES = {"Ink": "ink", "Chalk": "chalk"}
CONFIG = ElboConfig(evaluations=4)


def ask(backbone, folder, prompt="fox", value=0.25, **changes):
    without = DirectCounterfactuals.named({k: (v,) for k, v in STYLES.items()})
    given = [torch.full((3, 32, 32), value), torch.full((3, 16, 48), 0.75)]
    config = CONFIG.replace(**changes)
    names = ["a", "b"]
    return survey(AttributeRequest(backbone, without, given, names, [prompt], config, kept=folder))


def answered(work):
    steps = []
    return drain(work.run(), steps.append), [s for s in steps if s.stage == "score"]


def test_a_second_run_asks_nothing_and_says_the_same(backbone, tmp_path):
    first, asked = answered(ask(backbone, tmp_path))
    assert asked and kept.is_known(ask(backbone, tmp_path))
    again, asked = answered(ask(backbone, tmp_path))
    assert not asked
    assert again.images == first.images and again.warnings == first.warnings
    assert all(torch.equal(a, b) for a, b in zip(again.maps, first.maps, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(again.pictures, first.pictures, strict=True))
    assert again.unet_evaluations == first.unet_evaluations
    assert torch.equal(again.profile, first.profile)


@pytest.mark.parametrize(
    "changes", [{"prompt": "cat"}, {"value": 0.5}, {"seed": 1}, {"shape": "square"}]
)
def test_another_question_is_asked_anew(backbone, tmp_path, changes):
    work = ask(backbone, tmp_path)
    other = ask(backbone, tmp_path, **changes)
    assert kept.file_of(work) != kept.file_of(other)


def test_what_is_damaged_is_asked_anew(backbone, tmp_path):
    work = ask(backbone, tmp_path)
    first, _ = answered(work)
    path = kept.file_of(work)
    path.write_bytes(path.read_bytes()[:-100])
    assert not kept.is_known(work)
    again, asked = answered(work)
    assert asked and again.images == first.images and kept.is_known(work)


def test_what_was_used_longest_ago_goes_first(backbone, tmp_path, monkeypatch):
    works = [ask(backbone, tmp_path, seed=s) for s in (1, 2, 3)]
    for age, work in enumerate(works[:2]):
        answered(work)
        os.utime(kept.file_of(work), (age, age))
    size = max(f.stat().st_size for f in tmp_path.iterdir())
    monkeypatch.setattr(kept, "MOST", 2 * size + 512)
    answered(works[2])
    assert [kept.is_known(w) for w in works] == [False, True, True]


def test_nothing_is_kept_of_what_cannot_be_repeated(backbone, tmp_path):
    assert kept.file_of(ask(backbone, None)) is None
    assert kept.file_of(ask(backbone, tmp_path, prompt="fox, embedding:ink")) is None
