"""Progress on held-out pictures: its figures by hand, its laws, and what is not defined."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from scipy import stats

from guda.diffusion.room import Room
from guda.groups.encode import encode_groups
from guda.steps import drain
from guda.unlearning.batches import Batches
from guda.unlearning.context import anchor_context
from guda.unlearning.held import Held
from guda.unlearning.probe import Answers, Probe
from guda.unlearning.progress import BANDS, LEVELS, Measure, Progress, share
from guda.unlearning.target import anchors_of, target_of


@pytest.fixture
def batches(backbone, groups, quick):
    encoded = drain(encode_groups(backbone, groups, 0.3))
    anchors = anchor_context(backbone, groups, groups["dots"], quick)
    return Batches(encoded, anchors, backbone.schedule, quick)


@pytest.fixture
def room(backbone):
    return Room(7, backbone.device)


@pytest.fixture
def probe(backbone, batches, room):
    return Probe.of(backbone, batches, room)


def test_a_share_and_its_interval_by_hand():
    rng = torch.Generator().manual_seed(0)
    top, bottom = torch.rand(6, 8, generator=rng), 1 + torch.rand(6, 8, generator=rng)
    weight = torch.arange(1.0, 9)
    a, b = (top * weight).sum(1).double(), (bottom * weight).sum(1).double()
    left_out = [float((a.sum() - a[i]) / (b.sum() - b[i])) for i in range(6)]
    error = math.sqrt(5 / 6 * sum((x - sum(left_out) / 6) ** 2 for x in left_out))
    half = stats.t.ppf(0.975, 5) * error
    made = share(top, bottom, weight)
    assert made is not None and made.low is not None and made.high is not None
    assert made.value == pytest.approx(float(a.sum() / b.sum()))
    assert (made.low, made.high) == pytest.approx((made.value - half, made.value + half))
    missing = share(top, bottom, weight, one_minus=True)
    assert missing is not None and missing.value == pytest.approx(1 - made.value)
    assert (missing.low, missing.high) == pytest.approx((1 - made.high, 1 - made.low))


def test_without_a_way_to_go_there_is_no_share():
    one = torch.ones(3, 8)
    assert share(one, 0 * one, torch.ones(8)) is None
    assert share(one, -one, torch.ones(8)) is None
    single = share(one[:1], one[:1], torch.ones(8))
    assert single is not None and (single.value, single.low, single.high) == (1.0, None, None)


def test_the_full_model_achieved_nothing_and_the_target_everything(probe):
    still = probe.progress(Answers(probe.full, probe.unnamed, probe.kept))
    assert still.achieved.overall.value == still.unnamed.overall.value == 0.0
    assert still.drift.overall.value == 0.0
    assert still.drift.overall.low == still.drift.overall.high == 0.0
    there = Answers(probe.target.mean, probe.target.mean, probe.retain.eps)
    doubt = float((probe.target.doubt @ probe.weight).sum())
    way = probe.forget.distance(probe.full, probe.target.mean) - probe.target.doubt
    done = probe.progress(there)
    expected = 1 + doubt / float((way @ probe.weight).sum())
    assert done.achieved.overall.value == pytest.approx(expected)
    assert done.drift.overall.value == pytest.approx(1.0)


@pytest.mark.parametrize("part", [0.25, 0.5])
def test_a_part_of_the_way(probe, part):
    """Without the doubt of anchors, achieved = a (2 - a), and drift grows with the square."""
    target = probe.target.mean
    way = probe.forget.distance(probe.full, target)
    now = torch.lerp(probe.full, target, part)
    measure = Measure.of(probe.forget.distance(now, target), way, probe.weight, one_minus=True)
    assert measure.overall is not None
    assert measure.overall.value == pytest.approx(part * (2 - part), rel=1e-4)
    moved = torch.lerp(probe.kept, probe.retain.eps, part)
    drift = probe.progress(Answers(now, probe.unnamed, moved)).drift
    assert [s.value for s in drift.bands.values()] == pytest.approx(
        [part**2] * len(BANDS), rel=1e-4
    )


def test_the_target_is_the_mean_over_the_anchors(backbone, batches, room):
    held = Held.of(backbone, batches.encoded, ["dots"], 0)
    target = target_of(backbone, held, batches, room)
    assert target is not None
    counts = anchors_of(batches, held.pictures[0][1])
    assert sum(counts.values()) == 64 and all("dots" not in prompt for prompt in counts)
    first = Held.of(backbone, batches.encoded, ["dots"], 0, most=1)
    answers = [n / 64 * first.answers(backbone, [p], room) for p, n in counts.items()]
    expected = torch.stack(answers).sum(0)
    torch.testing.assert_close(target.mean[: len(LEVELS)], expected)
    spread = sum(
        n / 64 * first.distance(first.answers(backbone, [p], room), expected)
        for p, n in counts.items()
    )
    torch.testing.assert_close(target.doubt[:1], spread / 63, rtol=1e-3, atol=1e-12)


def test_it_does_not_depend_on_how_many_pictures_fit(backbone, batches, make_lora):
    seen = []
    for rows in (1, 5, 64):
        room = Room(rows, backbone.device)
        probe = Probe.of(backbone, batches, room)
        with backbone.counterfactual(make_lora(backbone, 0.5)):
            seen.append(probe.progress(probe.answers(backbone, room)))
    values = [[p.achieved.overall.value, p.drift.overall.value] for p in seen]
    assert values[0] == pytest.approx(values[1], rel=1e-3)
    assert values[0] == pytest.approx(values[2], rel=1e-3)


def test_the_size_of_scores_is_that_of_the_target(probe):
    """With a target whose residual is half as long again, halfway: (1.25^2 - 1) / (1.5^2 - 1)."""
    residual = probe.full - probe.forget.eps
    far = replace(probe, target=replace(probe.target, mean=probe.full + residual / 2))
    far.target.doubt.zero_()
    now = Answers(probe.full + residual / 4, probe.unnamed, probe.kept)
    scores = far.progress(now).scores
    assert scores.overall.value == pytest.approx(0.45, rel=1e-4)
    assert {round(s.value, 4) for s in scores.bands.values()} == {0.45}


def test_what_training_aims_at_is_what_is_measured(backbone, batches, probe, room):
    """A student whose answers are GUDA-U's own targets went all the way."""
    own = batches.config.replace(operator="retrack", neighbours=3)
    aimed = Probe.of(
        backbone, Batches(batches.encoded, batches.anchors, batches.schedule, own), room
    )
    assert not aimed.target.doubt.any()
    retain = torch.cat([batches.encoded[k].latents for k in ("stripes", "waves")])
    near = torch.cdist(aimed.forget.x0.flatten(1), retain.flatten(1)).topk(3, largest=False)
    expected = backbone.schedule.posterior_eps(
        aimed.forget.x_t, aimed.forget.t, retain[near.indices]
    )
    torch.testing.assert_close(aimed.target.mean, expected, rtol=1e-3, atol=1e-4)
    done = aimed.progress(Answers(aimed.target.mean, aimed.target.mean, aimed.kept))
    assert done.achieved.overall.value == done.unnamed.overall.value == 1.0


def test_without_prompts_and_without_a_target_only_the_drift_is_told(
    backbone, batches, room, monkeypatch
):
    monkeypatch.setattr(type(backbone), "conditional", False)
    probe = Probe.of(backbone, batches, room)
    progress = probe.progress(probe.answers(backbone, room))
    assert probe.target is None and probe.unnamed is None
    assert progress.achieved is progress.unnamed is progress.scores is None
    assert progress.drift.overall is not None


def test_it_is_read_as_it_was_written(backbone, probe, room, make_lora):
    with backbone.counterfactual(make_lora(backbone, 0.5)):
        progress = probe.progress(probe.answers(backbone, room))
    assert Progress.read(json.loads(json.dumps(progress.as_dict()))) == progress
