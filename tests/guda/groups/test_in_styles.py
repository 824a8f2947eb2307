"""A prompt asked in every style: whatever it names, and whatever it leaves out."""

from __future__ import annotations

import pytest

from guda.groups import StyleGroups, from_prompts
from guda.groups.in_styles import in_styles, template_of

STYLES = ("noto blob", "emojione", "ink", "fluent ink")


@pytest.mark.parametrize(
    ("prompt", "content", "first", "named"),
    [
        ("fox", "fox", "fox, in noto blob style", ()),
        ("  ", "", "in noto blob style", ()),
        ("fox, in ink style", "fox", "fox, in noto blob style", (2,)),
        ("fox, in Fluent Ink style, flat", "fox, flat", "fox, in noto blob style, flat", (3,)),
        ("a fox by noto_blob, detailed", "a fox, detailed", "a fox by noto blob, detailed", (0,)),
        ("fox, in emojione and ink style", "fox", "fox, in noto blob style", (1, 2)),
        ("fox by noto blob, ink, night", "fox, night", "fox by noto blob, night", (0, 2)),
        ("ink", "", "noto blob", (2,)),
        ("fox, in oils", "fox, in oils", "fox, in oils, in noto blob style", ()),
        ("a fox {style} {content}", "a fox {style} {content}", None, ()),
    ],
)
def test_a_prompt_is_asked_in_every_style(prompt, content, first, named):
    asked = in_styles(prompt, STYLES)
    assert (asked.prompt, asked.content, asked.named) == (prompt, content, named)
    assert len(asked.in_styles) == len(set(asked.in_styles)) == len(STYLES)
    assert first is None or asked.in_styles[0] == first


def test_the_order_of_styles_only_orders_the_answers():
    for prompt in ("fox", "fox, in fluent ink style", "fox, in ink and emojione style"):
        forward, back = in_styles(prompt, STYLES), in_styles(prompt, STYLES[::-1])
        assert forward.in_styles == back.in_styles[::-1]
        assert forward.content == back.content
        assert [STYLES[k] for k in forward.named] == [STYLES[::-1][k] for k in back.named][::-1]


def test_a_template_of_ones_own():
    template = "{style}, {content}, masterpiece"
    assert in_styles("fox", ("a", "b"), template).in_styles[1] == "b, fox, masterpiece"
    assert in_styles("", ("a", "b"), template).in_styles[1] == "b, masterpiece"


def test_groups_tell_their_form():
    made = from_prompts({"A": "a", "B": "b"}, ["fox"], pictures=4, template="{content} by {style}")
    assert template_of(made) == "{content} by {style}"
    usual = from_prompts({"A": "a", "B": "b"}, ["fox"], pictures=4)
    mixed = StyleGroups((made.groups[0], usual.groups[1]), "prompts")
    assert template_of(mixed) == "{content}, in {style} style"
