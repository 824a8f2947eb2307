"""A LoRA that begins with its style's words led to the anchors', in closed form."""

from __future__ import annotations

import pytest
import torch

from guda.backbone.files.load import load
from guda.diffusion import TextEdit
from guda.groups.encode import encode_groups
from guda.steps import drain
from guda.unlearning import resume
from guda.unlearning.start import KEPT, RIDGE, text_edit
from guda.unlearning.stopping import End, Mark, end
from guda.unlearning.target import anchors_of
from guda.unlearning.train import batches_of, unlearn_group


@pytest.fixture(scope="module")
def backbone(model_folder):
    return load(model_folder)


@pytest.fixture(scope="module")
def encoded(backbone, groups, recipe):
    return drain(encode_groups(backbone, groups, recipe.heldout))


@pytest.fixture(scope="module")
def batches(backbone, groups, encoded, recipe):
    return batches_of(backbone, groups, encoded, "dots", recipe)


def rows(backbone, prompts):
    """(prompts, tokens, width) float64."""
    return backbone.encode_prompts(list(prompts)).embeds.double()


def told(backbone, batches):
    """Tokens of the forget prompts, of their anchors' mean, and of what is kept."""
    own = batches.encoded[batches.group]
    forget = rows(backbone, [e.prompt(own.group.style) for e in own.train])
    anchors = []
    for e in own.train:
        counts = anchors_of(batches, e)
        share = torch.tensor(list(counts.values())).double() / sum(counts.values())
        anchors.append((share[:, None, None] * rows(backbone, counts)).sum(0))
    retain = [
        e.prompt(o.style) for o in batches.anchors.others for e in batches.encoded[o.name].train
    ]
    silent = ["", *(e.styleless() for e in own.train)]
    kept = [rows(backbone, some) for some in (retain, silent)]
    return [x.flatten(0, -2) for x in (forget, torch.stack(anchors), *kept)]


def test_the_whole_map_is_the_least_squares_solution(backbone, batches):
    """Of the same sums, written down as one system of rows and solved by QR."""
    forget, anchors, *kept = told(backbone, batches)
    width = forget.shape[1]
    weighed = [forget / len(forget) ** 0.5, *(x * (KEPT / len(x)) ** 0.5 for x in kept)]
    ridge = RIDGE * torch.cat(weighed).square().sum() / width
    left = torch.cat([*weighed, ridge.sqrt() * torch.eye(width).double()])
    right = torch.zeros_like(left)
    right[: len(forget)] = (anchors - forget) / len(forget) ** 0.5
    expected = torch.linalg.lstsq(left, right, driver="gelsd").solution.T
    up, down = text_edit(backbone, batches, width)
    torch.testing.assert_close(up @ down, expected.float(), rtol=1e-3, atol=1e-4)


def test_words_are_led_to_the_anchors_and_others_stay(backbone, batches):
    forget, anchors, retain, silent = told(backbone, batches)
    up, down = (x.double() for x in text_edit(backbone, batches, 2))
    assert up.shape == (32, 2) and down.shape == (2, 32)

    def moved(x):
        return x @ down.T @ up.T

    far, left = ((x - anchors).square().sum() for x in (forget, forget + moved(forget)))
    assert left < 0.3 * far
    for kept in (retain, silent):
        assert moved(kept).square().mean() < 0.2 * moved(forget).square().mean()


@pytest.mark.parametrize("alpha", [4.0, 1.5])
def test_a_lora_begins_with_the_edit_and_keeps_it(backbone, alpha):
    """As if every W that reads the prompt were W (1 + up down), and the teacher is untouched."""
    rng = torch.Generator().manual_seed(0)
    edit = TextEdit(*(0.3 * torch.randn(s, generator=rng) for s in ((32, 2), (2, 32))))
    x, t = torch.randn(2, 4, 16, 16, generator=rng), torch.tensor([10, 500])
    condition = backbone.encode_prompts(["a", "b"])
    reads = [
        m for n, m in backbone.unet.named_modules() if n.endswith(("attn2.to_k", "attn2.to_v"))
    ]

    def predict():
        with torch.no_grad():
            return backbone.predict_eps(x, t, condition)

    full, weights = predict(), [m.weight.data for m in reads]
    for m in reads:
        m.weight.data = m.weight + m.weight @ edit.up @ edit.down
    expected = predict()
    for m, weight in zip(reads, weights, strict=True):
        m.weight.data = weight
    assert (expected - full).abs().max() > 1e-3

    how = {"modules": "attention", "rank": 4, "alpha": alpha, "seed": 0}
    with backbone.training_lora(**how, edit=edit) as lora:
        torch.testing.assert_close(predict(), expected, rtol=1e-4, atol=1e-5)
        with lora.off():
            assert torch.equal(predict(), full)
        fresh = {k: p.clone() for k, p in lora.parameters().items()}
        for name, p in lora.parameters().items():
            p.data += 0.05 * torch.randn(p.shape, generator=rng) if name.endswith(".up") else 0
        trained, made = predict(), lora.weights()
    assert torch.equal(predict(), full)
    assert {len(down) for _, down in made.layers.values()} == {4} and made.alpha == alpha
    assert any(fresh[f"{n}.up"].shape[1] == 2 for n in made.layers if n.endswith("attn2.to_k"))
    with backbone.counterfactual(made):
        torch.testing.assert_close(predict(), trained, rtol=1e-4, atol=1e-5)


def test_unlearning_begins_with_it_and_goes_on_after_an_interruption(
    backbone, groups, encoded, recipe, tmp_path
):
    config = recipe.replace(start="text", stop="auto", steps=14, goal=1.0, rank=4)

    def unlearn(place=None, until=None):
        steps, seen = unlearn_group(backbone, groups, encoded, "dots", config, place), []
        while True:
            try:
                seen.append(next(steps))
            except StopIteration as stop:
                return seen, stop.value
            if seen[-1].stage == "unlearn" and seen[-1].done == until:
                steps.close()
                return seen, None

    seen, whole = unlearn()
    assert [s.stage for s in seen if s.stage in ("look", "start")] == ["look"] * 2 + ["start"] * 2
    marks = [s.note for s in seen if s.stage == "unlearn" and s.note]
    assert len(marks) == 2 and all(" of the way, " in m and " without the name" in m for m in marks)
    place = resume.Place(tmp_path / "a.resume", "key")
    unlearn(place, until=11)
    _, again = unlearn(place)
    assert again.losses == whole.losses and again.ended == whole.ended
    for name, pair in whole.lora.layers.items():
        assert all(map(torch.equal, pair, again.lora.layers[name]))


@pytest.mark.parametrize(
    ("changes", "rank"),
    [
        ({}, 0),
        ({"start": "text", "rank": 8}, 4),
        ({"start": "text", "rank": 1}, 0),
        ({"start": "text", "modules": "full"}, 0),
        ({"start": "text", "operator": "esd"}, 0),
    ],
)
def test_what_begins_at_nothing(recipe, changes, rank):
    assert recipe.replace(**changes).text_rank == rank


def silent(*unnamed: float, achieved: float = 0.8) -> list[Mark]:
    return [Mark(i, achieved, 0.01, u) for i, u in enumerate(unnamed)]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (silent(0.1), None),  # its name is forgotten, but not yet more
        (silent(0.1, 0.75), End.GOAL),
        (silent(0.1, 0.2, 0.3, 0.4), None),
        (silent(0.4, 0.4, 0.4), None),
        (silent(0.4, 0.4, 0.41, 0.3), End.GOAL),  # it goes no further
        (silent(*[0.4] * 8, achieved=0.5), End.STILL),
        (silent(*[0.4] * 5, 0.5, 0.6, 0.65, achieved=0.5), None),
    ],
)
def test_it_ends_when_the_style_is_forgotten_without_its_name_too(seen, expected):
    assert end(seen, 0.7) is expected


def test_the_recipe_is_another_and_sets_without_it_keep_theirs(recipe):
    assert "start" not in recipe.as_key()
    assert recipe.replace(start="text").as_key()["start"] == "text"
