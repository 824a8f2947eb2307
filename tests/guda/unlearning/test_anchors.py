"""Anchors: the weights' formula and limits, and what each strategy redirects to."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import pytest
import torch

from guda.config import UnlearnConfig
from guda.diffusion.noise import generator
from guda.errors import GroupsError
from guda.groups import StyleGroups
from guda.groups.encode import PromptTable, encode_groups
from guda.steps import drain
from guda.unlearning.batches import Batches
from guda.unlearning.context import anchor_context, style_embedding, style_weights
from guda.variants import ANCHORS

STYLE = torch.tensor([1.0, 0.0])
OTHERS = torch.tensor([[2.0, 0.0], [1.0, 1.0], [-3.0, 0.0]])


def test_the_formula_by_hand():
    beta, eta = 2.0, 0.3
    powers = [math.exp(beta * c) for c in (1.0, math.sqrt(0.5), -1.0)]
    expected = [(1 - eta) * p / sum(powers) + eta / 3 for p in powers]
    found = style_weights(STYLE, OTHERS, beta, eta)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    assert found.sum().item() == pytest.approx(1, abs=1e-14)


def test_the_limits():
    third = [1 / 3] * 3
    assert style_weights(STYLE, OTHERS, 5.0, 1.0).tolist() == pytest.approx(third, rel=1e-12)
    assert style_weights(STYLE, OTHERS, 0.0, 0.0).tolist() == pytest.approx(third, rel=1e-12)
    assert style_weights(STYLE, OTHERS, 100.0, 0.0).tolist() == pytest.approx([1, 0, 0], abs=1e-9)
    assert style_weights(STYLE, OTHERS, -100.0, 0.0).tolist() == pytest.approx([0, 0, 1], abs=1e-9)


@pytest.fixture
def dots(backbone, groups):
    return anchor_context(backbone, groups, groups["dots"], UnlearnConfig())


def drawn(name, dots, example, n=300):
    return Counter(ANCHORS[name](dots, example, generator("t", i)) for i in range(n))


@pytest.mark.parametrize("name", ["awss", "uniform", "matched_retain"])
def test_anchors_show_the_same_content_in_the_other_styles(dots, name):
    example = dots.group.examples[2]
    content = example.content
    found = drawn(name, dots, example)
    assert set(found) == {f"{content}, in {s} style" for s in ("stripes", "waves")}
    assert example.prompt(dots.group.style) == f"{content}, in dots style"


def test_style_removed_is_the_content_alone(dots):
    example = dots.group.examples[2]
    assert set(drawn("style_removed", dots, example, 3)) == {example.content}


def test_awss_draws_by_its_weights(dots):
    weights = torch.tensor([0.9, 0.1], dtype=torch.float64)
    skewed = dataclasses.replace(dots, weights=weights)
    example = dots.group.examples[0]
    found = drawn("awss", skewed, example)
    n = found[example.prompt(dots.others[0].style)]
    assert abs(n - 270) < 4 * math.sqrt(300 * 0.09)


def test_matched_retain_names_the_picture_without_a_counterpart(dots):
    example = dataclasses.replace(dots.group.examples[0], content="a yak")
    with pytest.raises(GroupsError) as caught:
        ANCHORS["matched_retain"](dots, example, generator("t"))
    assert str(caught.value) == (
        f"The picture {example.id!r} of group 'dots' shows 'a yak', which no other group shows, "
        "so it has no matched_retain anchor; choose the anchor awss, uniform or style_removed."
    )


def test_the_order_of_groups_does_not_matter(backbone, groups, dots):
    turned = StyleGroups(tuple(reversed(groups.groups)), groups.source)
    again = anchor_context(backbone, turned, turned["dots"], UnlearnConfig())
    assert [g.name for g in again.others] == [g.name for g in dots.others]
    assert torch.equal(again.weights, dots.weights)
    assert again.by_content == dots.by_content


def test_the_embedding_is_the_mean_over_descriptors_and_tokens(backbone, groups):
    group = dataclasses.replace(groups["dots"], descriptors=("dots", "small round spots"))
    rows = backbone.encode_prompts(["dots", "small round spots"]).embeds.double()
    expected = rows.sum((0, 1)) / (rows.shape[0] * rows.shape[1])
    torch.testing.assert_close(style_embedding(backbone, group).double(), expected)


@pytest.mark.parametrize("rows", [1, 4, 6])
def test_the_target_is_the_mean_over_its_anchors(backbone, groups, quick, rows):
    """As a mean of whole batches, each with one of the anchors, whatever fits at once."""
    encoded = drain(encode_groups(backbone, groups, quick.heldout))
    several = quick.replace(anchors=3, anchor="uniform")
    context = anchor_context(backbone, groups, groups["dots"], several)
    batches = Batches(encoded, context, backbone.schedule, several)
    choice = batches.choose(0)
    assert len(choice.more_anchors) == 2 and {len(a) for a in choice.more_anchors} == {3}
    first = Batches(encoded, context, backbone.schedule, several.replace(anchors=1)).choose(0)
    assert dataclasses.replace(choice, more_anchors=(), t=first.t) == first
    assert torch.equal(choice.t, first.t)
    prompts = PromptTable(backbone, choice.asked)
    batch = batches.make(0, choice, prompts)
    expected = batch.teacher_condition.take(range(3, 6))
    with torch.no_grad():
        answers = [
            backbone.predict_eps(batch.x_t[:3], batch.t[:3], prompts[asked])
            for asked in (choice.teacher_prompts[:3], *choice.more_anchors)
        ]
        kept = backbone.predict_eps(batch.x_t[3:], batch.t[3:], expected)
    target = torch.cat([part.teacher(backbone.predict_eps) for part in batch.parts(rows)])
    torch.testing.assert_close(target[:3], torch.stack(answers).mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(target[3:], kept, rtol=1e-4, atol=1e-5)
