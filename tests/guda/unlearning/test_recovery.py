"""Recovery: the look that was never there, the curve, and what is left of the model."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from guda.diffusion.room import Room
from guda.groups import split_heldout
from guda.groups.encode import encode_part
from guda.steps import drain
from guda.unlearning import resume
from guda.unlearning.recovery import (
    Recovery,
    evaluations,
    first,
    looks,
    turned,
)
from guda.unlearning.relearning import Relearning


@pytest.fixture(scope="module")
def work(model_folder, groups, recipe):
    """A relearning, the parts of a style, and a LoRA that damages the model."""
    from guda.backbone.files.load import load

    backbone, group = load(model_folder), groups["waves"]
    train, held = split_heldout(group, 0.3)
    parts = [encode_part(backbone, group, train[:4], held), encode_part(
        backbone, group, train[:4], held, turned
    )]  # fmt: skip
    config = recipe.replace(lr=0.006)
    return Relearning(backbone, config, Room(6, backbone.device), 6), parts


def test_the_look_is_the_same_pictures_under_an_isometry():
    rng = torch.Generator().manual_seed(0)
    pictures = torch.rand(3, 3, 8, 8, generator=rng)
    other = turned(pictures)
    before, after = (torch.cdist(x, x) for x in (pictures.flatten(1), other.flatten(1)))
    assert torch.allclose(before, after)
    assert not torch.equal(other, pictures)
    grey = pictures.mean(1, keepdim=True).expand_as(pictures)
    assert not torch.equal(turned(grey), grey), "a style without colours has a look of its own, too"


def test_where_a_curve_has_fallen_far_enough():
    curve = {0: 10.0, 1: 9.0, 4: 6.0, 5: 7.0}
    assert first(curve, 0.5) == 0.5
    assert first(curve, 2.0) == 2.0
    assert first(curve, 4.0) == 4.0
    assert first(curve, 4.1) is None
    assert looks(9) == [1, 2, 3, 4, 5, 6, 7, 9] and looks(1) == [1]


@pytest.mark.parametrize(
    ("told", "hidden", "words"),
    [
        (Recovery(2.0, None, 100, 20), True, "takes more than 20, so it was hidden"),
        (Recovery(2.0, 20.0, 100, 20), True, "hidden rather than forgotten"),
        (
            Recovery(0.7, 1.2, 100, 7),
            False,
            "a quarter back after 1 step on 4 pictures, where a look that",
        ),
        (Recovery(0.2, 3.0, 100, 10), False, "after 1 step on 4 pictures, where a look that"),
        (Recovery(0.2, None, 100, 10), True, "takes more than 10, so it was hidden"),
        (Recovery(1.2, 7.0, 100, 12), False, "after 2 steps on 4 pictures, where a look that"),
        (Recovery(30.0, None, 100, 100), False, "takes more than 100"),
        (Recovery(None, 40.0, 100, 100), False, "not a quarter back after 100 steps"),
        (Recovery(0.0, None, 100, 0), True, "nothing of it to bring back"),
    ],
)
def test_its_words(told, hidden, words):
    assert told.hidden is hidden and words in str(told)
    assert ("hidden" in str(told)) == (hidden and told.back != 0)
    assert Recovery.read(told.as_dict()) == told


def test_an_untouched_lora_has_nothing_to_bring_back(work, make_lora):
    learning, parts = work
    told = drain(learning.recover(make_lora(learning.backbone, 0.0), *parts))
    assert told == Recovery(0.0, None, 6, 0)


def test_the_model_is_as_it_was_and_an_interrupted_run_ends_the_same(work, make_lora, tmp_path):
    learning, parts = work
    backbone, seen, rows = learning.backbone, [], []
    lora = make_lora(backbone, 0.5)
    before = {n: p.clone() for n, p in backbone.unet.state_dict().items()}
    hook = backbone.unet.register_forward_hook(lambda _, args, out: rows.append(len(out.sample)))
    whole = drain(learning.recover(lora, *parts), seen.append)
    hook.remove()
    after = backbone.unet.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[n].view(torch.uint8), after[n].view(torch.uint8)) for n in before)
    assert not any(p.requires_grad for p in backbone.unet.parameters())
    assert whole.back is not None and 3 < whole.back < 6 and whole.taken == 6, whole
    assert sum(rows) <= evaluations(learning.config, learning.limit)
    assert [s.done for s in seen] == sorted(s.done for s in seen) and seen[-1].done == 12
    place = resume.Place(tmp_path / "waves.resume", "key")
    for done in (3, 9):  # within the style's own steps, and within the control's
        steps = learning.recover(lora, *parts, place)
        while next(steps).done < done:
            pass
        steps.close()
        assert resume.repetitions(place.path)
    assert drain(learning.recover(lora, *parts, place)) == whole
    again = dataclasses.replace(learning, room=Room(2, backbone.device))
    assert drain(again.recover(lora, *parts)).back == pytest.approx(whole.back, abs=0.01)
