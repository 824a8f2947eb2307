"""Unlearning that ends by itself: its rule by hand, its looks, and that nothing depends on luck."""

from __future__ import annotations

import itertools

import pytest
import torch

from guda.backbone.files.load import load
from guda.groups.encode import encode_groups
from guda.steps import drain
from guda.unlearning.resume import Place
from guda.unlearning.stopping import (
    WIDER,
    End,
    Ended,
    Mark,
    average,
    averaged,
    end,
    looks,
)
from guda.unlearning.train import learning_rate, unlearn_group


def marks(*achieved: float | None, drift: float | None = 0.01) -> list[Mark]:
    return [Mark(i, a, drift) for i, a in enumerate(achieved)]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([], None),
        (marks(None, None, None, None, None, None, None), None),
        (marks(0.5, 0.8), End.GOAL),
        (marks(0.8, 0.6), None),
        (marks(0.5, 0.8, drift=0.2), None),
        (marks(0.5, 0.8, drift=None), End.GOAL),
        (marks(*[0.3] * 6), None),  # patience has not run out
        (marks(*[0.3] * 6, 0.31), End.STILL),
        (marks(*[0.3] * 6, 0.33), None),
        (marks(0.5, 0.3, 0.3, 0.3, 0.3, 0.35, 0.4), None),  # below its best, but on its way
        (marks(0.5, 0.4, 0.35, 0.3, 0.3, 0.3, 0.3), End.STILL),
        (marks(*[0.01] * 8), None),  # it has not begun
        (marks(*[0.8] * 7, drift=0.2), End.STILL),  # and other styles suffer
        ([Mark(i, 0.8, 0.3 - 0.02 * i) for i in range(7)], None),  # drift is falling
        (marks(-0.2, -1.0, -3.0, -4.0), End.ASTRAY),
        (marks(-0.2, -1.0, -3.0, -2.0), None),
        (marks(-0.2, -0.3, -0.4, -0.5), None),
        (marks(0.1, -1.0, -3.0, -4.0), None),
    ],
)
def test_the_rule(seen, expected):
    assert end(seen, 0.7) is expected


def test_looks_are_ever_further_apart():
    assert looks(60) == [10, 13, 18, 24, 32, 42, 56]
    assert looks(10) == [] and looks(11) == [10]
    many = looks(1500)
    assert len(many) < 20 and many[: len(looks(60))] == looks(60)
    assert max(b / a for a, b in itertools.pairwise(many)) < WIDER + 0.06


def test_the_mean_of_the_weights():
    """w_T = sum_t c_t p_t / sum_t c_t with c_t = t (t + 1) (t + 2) (t + 3)."""
    p = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = torch.optim.AdamW([p])
    rng = torch.Generator().manual_seed(0)
    path = torch.randn(30, 3, generator=rng, dtype=torch.float64)
    for t, at in enumerate(path, 1):
        p.data.copy_(at)
        average(optimizer, [p], t)
    t = torch.arange(1, 31, dtype=torch.float64)
    weight = t * (t + 1) * (t + 2)
    expected = (weight[:, None] * path).sum(0) / weight.sum()
    with averaged(optimizer, [p]):
        torch.testing.assert_close(p.data, expected)
    assert torch.equal(p.data, path[-1])
    torch.testing.assert_close(optimizer.state[p]["mean"], expected)
    with pytest.raises(RuntimeError), averaged(optimizer, [p]):
        raise RuntimeError
    assert torch.equal(p.data, path[-1])


def test_where_it_ended_is_told_and_read():
    for ended in (Ended(13, 60, End.GOAL, 0.76, 0.01), Ended(60, 60, End.LIMIT)):
        assert Ended.read(ended.as_dict()) == ended
    assert str(Ended(13, 60, End.GOAL)) == "13 of 60 steps, its goal was reached"
    for wrong in ({}, {"step": 1, "limit": 2, "end": "x"}, {"step": "1", "limit": 2}, None):
        with pytest.raises(ValueError):
            Ended.read(wrong)


@pytest.fixture(scope="module")
def train(model_folder, groups, recipe):
    """Unlearn "dots" with a recipe that may end by itself; `until` closes it after that step."""
    backbone = load(model_folder)
    encoded = drain(encode_groups(backbone, groups, recipe.heldout))

    def train(path=None, until=None, **changes):
        config = recipe.replace(**{"stop": "auto", "steps": 24, "checkpoint_every": 4} | changes)
        steps = unlearn_group(
            backbone, groups, encoded, "dots", config, path and Place(path, "key")
        )
        seen = []
        while True:
            try:
                seen.append(next(steps))
            except StopIteration as stop:
                return seen, stop.value
            if (seen[-1].stage, seen[-1].done) == until:
                steps.close()
                return seen, None

    return train


@pytest.fixture(scope="module")
def full(train):
    """To the limit."""
    return train(goal=1.0)


def way(step) -> float:
    return float(step.note.split(" of the way")[0])


def test_it_ends_when_its_goal_is_reached(train, full):
    steps, whole = full
    seen = {s.done: way(s) for s in steps if s.stage == "unlearn" and s.note}
    assert list(seen) == [10, 13, 18] and whole.ended == (
        Ended(24, 24, End.LIMIT, whole.ended[0].achieved, whole.ended[0].drift),
    )
    assert max(seen.values()) > 0.02, "this test wants a model that forgets something"
    goal = max(seen.values()) - 0.005
    first = next(at for at, value in seen.items() if value >= goal)
    some, made = train(goal=goal)
    assert made.ended[0].step == first == len(made.losses) and made.ended[0].end is End.GOAL
    assert made.losses == whole.losses[:first]
    said = [s for s in some if s.stage == "stop"]
    assert [(s.done, s.note) for s in said] == [(first, "its goal was reached")]
    assert [s.stage for s in some[:2]] == ["look", "look"]


def test_looking_changes_nothing(train, full, monkeypatch):
    monkeypatch.setattr("guda.unlearning.train.looks", lambda limit: [])
    blind = train()[1]
    assert blind.losses == full[1].losses
    assert all(
        torch.equal(a, b)
        for name, pair in blind.lora.layers.items()
        for a, b in zip(pair, full[1].lora.layers[name], strict=True)
    )


@pytest.mark.parametrize("until", [5, 10, 12, 13, 14])
def test_an_interrupted_run_ends_at_the_same_step(train, full, tmp_path, until):
    goal = way(next(s for s in full[0] if s.stage == "unlearn" and s.done == 13)) - 0.005
    if until == 14:  # after its end, before its certificate
        train(tmp_path / "a.resume", ("stop", 13), goal=goal)
    else:
        train(tmp_path / "a.resume", ("unlearn", until), goal=goal)
    steps, made = train(tmp_path / "a.resume", goal=goal)
    _, expected = train(goal=goal)
    assert made.ended == expected.ended and made.losses == expected.losses
    assert made.gate == expected.gate
    assert all(
        torch.equal(a, b)
        for name, pair in made.lora.layers.items()
        for a, b in zip(pair, expected.lora.layers[name], strict=True)
    )
    if until >= 13:
        assert not any(s.stage == "unlearn" for s in steps)


def test_every_repetition_ends_by_itself(train):
    _, made = train(goal=0.0, repeats=2, steps=12)
    assert len(made.ended) == 2
    assert [s for s, *_ in made.losses] == [
        i * 12 + s for i, e in enumerate(made.ended) for s in range(e.step)
    ]


def test_the_rate_stays(recipe):
    config = recipe.replace(steps=100, warmup=10, stop="auto")
    rates = [learning_rate(s, config) for s in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert set(rates[9:]) == {1.0}
