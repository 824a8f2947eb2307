"""What would be refused on the way is refused by the survey, before a plan or any work."""

from __future__ import annotations

import dataclasses
import os

import pytest
import torch

from guda.cli import main
from guda.config import ElboConfig
from guda.errors import CounterfactualError, GroupsError, ImageError, SaveError
from guda.groups import StyleGroups
from guda.groups.pictures import save_png
from guda.jobs.attribute import AttributeRequest
from guda.jobs.attribute import survey as survey_attribution
from guda.jobs.unlearn import UnlearnRequest
from guda.jobs.unlearn import survey as survey_unlearning


@pytest.fixture
def asked(backbone, make_lora, make_set, tmp_path):
    made = make_set(tmp_path / "set", backbone, {n: make_lora(backbone, 1.0) for n in "ab"})
    pictures = list(torch.rand(3, 3, 32, 32))
    return AttributeRequest(backbone, made, pictures, list("pqr"), [""], ElboConfig(evaluations=4))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"prompts": ["x", "y"]}, ImageError, "2 prompts were given for 3 pictures"),
        ({"names": ["p"]}, ImageError, "1 names were given for 3 pictures"),
        ({"pictures": []}, ImageError, "No picture was given"),
        ({"names": ["p", "q", "r\udc80"]}, SaveError, r"the picture's name is 'r\udc80'"),
        ({"prompts": ["\ud83d"]}, SaveError, "the prompt of p is"),
    ],
)
def test_an_attribution_that_cannot_be_run_has_no_plan(asked, change, error, words):
    with pytest.raises(error) as caught:
        survey_attribution(dataclasses.replace(asked, **change))
    assert words in str(caught.value)


def test_an_empty_set_and_a_missing_file_are_found_before(asked):
    made = asked.counterfactuals
    empty = dataclasses.replace(asked, counterfactuals=dataclasses.replace(made, entries=()))
    with pytest.raises(CounterfactualError, match="holds no style"):
        survey_attribution(empty)
    made.path(made.entries[1]).unlink()
    with pytest.raises(CounterfactualError, match="is missing"):
        survey_attribution(asked)


def test_the_command_line_refuses_the_plan_as_it_refuses_the_run(
    asked, model_folder, tmp_path, capsys
):
    for name in "abc":
        save_png(torch.rand(3, 32, 32), tmp_path / f"{name}.png")
    argv = ["attribute", "--model", str(model_folder), "--device", "cpu"]
    argv += ["--counterfactuals", str(asked.counterfactuals.folder), "--prompt", "x"]
    argv += ["--image", *(str(tmp_path / f"{n}.png") for n in "abc"), "--prompt", "y"]
    told = []
    for more in (["--plan"], []):
        assert main([*argv, "--out", str(tmp_path / "report"), *more]) == 2
        told.append(capsys.readouterr())
    assert told[0] == told[1]
    assert "2 prompts were given for 3 pictures" in told[0].err and told[0].out == ""


def renamed(groups: StyleGroups, **changes) -> StyleGroups:
    first, *others = groups
    return StyleGroups((dataclasses.replace(first, **changes), *others), groups.source)


def test_an_unlearning_that_cannot_be_run_has_no_plan(backbone, groups, quick, tmp_path):
    request = UnlearnRequest(backbone, groups, tmp_path / "set", quick)
    with pytest.raises(GroupsError, match='no group "nobody"'):
        survey_unlearning(dataclasses.replace(request, names=["dots", "nobody"]))
    with pytest.raises(SaveError, match="the phrase of the style"):
        told = renamed(groups, style="dots \udcff")
        survey_unlearning(dataclasses.replace(request, groups=told))
    (tmp_path / "file").touch()
    with pytest.raises(SaveError, match="which is a file"):
        survey_unlearning(dataclasses.replace(request, out=tmp_path / "file"))
    assert os.listdir(tmp_path) == ["file"]


def test_a_missing_anchor_is_told_before_any_group_is_unlearned(backbone, groups, quick, tmp_path):
    *others, last = groups
    strange = [dataclasses.replace(e, content="a yak") for e in last.examples]
    odd = StyleGroups((*others, dataclasses.replace(last, examples=tuple(strange))), groups.source)
    config = quick.replace(anchor="matched_retain")
    request = UnlearnRequest(backbone, odd, tmp_path / "set", config)
    with pytest.raises(GroupsError, match=f"group '{last.name}' shows 'a yak', which no other"):
        survey_unlearning(request)
    others = [g.name for g in others]
    assert len(survey_unlearning(dataclasses.replace(request, names=others)).left) == len(others)
    assert len(survey_unlearning(dataclasses.replace(request, config=quick)).left) == len(odd)


def test_a_survey_computes_nothing_and_counts_everything(backbone, groups, quick, asked, tmp_path):
    calls = []
    backbone.unet.register_forward_hook(lambda *args: calls.append(1))
    work = survey_unlearning(UnlearnRequest(backbone, groups, tmp_path / "new", quick))
    assert [(left.group.name, left.done) for left in work.left] == [(g.name, 0) for g in groups]
    assert work.steps == 3 * quick.total_steps and not (tmp_path / "new").exists()
    assert len(survey_attribution(asked)) == 3
    assert survey_attribution(asked).evaluations == 3 * 4 * 3
    assert not calls
    for frozen in (work, work.making, survey_attribution(asked)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            frozen.request = None  # type: ignore[misc]
