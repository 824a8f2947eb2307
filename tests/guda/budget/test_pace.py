"""The time that a run still takes, and how often it tells of itself."""

from __future__ import annotations

import pytest

from guda.budget.pace import RECENT, Clock, Throttle, time_left


def test_a_steady_pace_is_continued():
    clock = Clock()
    left = [clock(i, 100, now=2.0 * i) for i in range(1, 11)]
    assert left[0] is None  # one place has no pace
    assert left[1:] == pytest.approx([2.0 * (100 - i) for i in range(2, 11)])


def test_only_the_last_minute_counts():
    clock = Clock()
    for i in range(100):  # slow at first
        clock(i, 1000, now=float(i))
    now = 99.0
    for i in range(100, 100 + 10 * int(2 * RECENT)):  # then ten times as fast
        now += 0.1
        left = clock(i, 10_000 if i < 0 else 1000, now=now)
        if i >= 999:
            break
    assert left == pytest.approx((1000 - i) / 10, abs=1.0)
    assert clock(600, 1000, now=now + 1) is None  # it went back: another stage


def test_what_was_found_done_is_no_pace():
    clock = Clock()
    for i in range(3):
        clock(1000 * i, 5000, now=0.01 * i)
        clock.restart()
    clock(3001, 5000, now=10.0)
    assert clock(3002, 5000, now=12.0) == pytest.approx(2 * 1998)


def test_another_total_starts_anew():
    clock = Clock()
    clock(1, 10, now=0.0)
    assert clock(5, 10, now=4.0) == pytest.approx(5.0)
    assert clock(6, 20, now=5.0) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (0.2, ""), (2, ", about 1 s left"), (43, ", about 45 s left"),
     (170, ", about 3 min left"), (7200, ", about 2.0 h left")],
)  # fmt: skip
def test_words(seconds, words):
    assert time_left(seconds) == words


@pytest.mark.parametrize(("cost", "silent"), [(0.0, 0.25), (1.0, 20.0)])
def test_what_is_told_takes_a_twentieth_of_the_work(cost: float, silent: float):
    """And a run that was held up in telling, by another program, is not silent for longer."""
    now, spent = 100.0, 7.0
    throttle = Throttle(0.25, lambda: now, lambda: spent)
    with throttle as due:
        assert due
        now, spent = now + 3.0, spent + cost
    due = []
    for passed in (0.0, silent - 0.125, 0.125):
        now += passed
        with throttle as told:
            due.append(told)
    assert due == [False, False, True]
