"""Style names as captions and tags spell them: recognised, and cut out without a trace."""

from __future__ import annotations

import pytest

from guda.groups.phrases import split_caption, without


@pytest.mark.parametrize(
    ("style", "caption", "content", "template"),
    [
        (
            "van gogh",
            "1girl, van_gogh, starry_sky",
            "1girl, starry_sky",
            "1girl, {style}, starry_sky",
        ),
        ("van gogh", "a field, van_gogh_(style)", "a field", "a field, {style}"),
        ("van gogh", r"a field, van gogh \(artist\), night", "a field, night", None),
        ("van gogh", "a field by Van Gogh's hand", "a field", "a field by {style}'s hand"),
        ("van gogh", "a field in Van Gogh\u2019s manner, night", "a field, night", None),
        ("van gogh", "Van Gogh's garden at night", "garden at night", "{style}'s garden at night"),
        ("van gogh", "a painting by van gogh of a field", "a painting of a field", None),
        ("van gogh", "a field, art_by_van_gogh, night", "a field, night", None),
        ("van gogh", "a field, van_gogh_style", "a field", "a field, {style} style"),
        ("van gogh", "a van-gogh-style field", "a field", "a {style}-style field"),
        ("van gogh", "vangogh, a field", "a field", "{style}, a field"),
        ("van gogh", "(van gogh:1.2), a field", "a field", "({style}:1.2), a field"),
        ("van gogh", "a field, [van gogh]", "a field", "a field, [{style}]"),
        ("h.r. giger", "h_r_giger, a cat", "a cat", "{style}, a cat"),
        ("h.r. giger", "a fox by HR Giger, dark", "a fox, dark", "a fox by {style}, dark"),
        ("ukiyo e", "a wave, ukiyo-e", "a wave", "a wave, {style}"),
        ("sumi-e", "a crane, sumi_e", "a crane", "a crane, {style}"),
        ("art deco", "an art-deco lamp", "an lamp", "an {style} lamp"),
        ("van gogh (style)", "a field, van_gogh", "a field", "a field, {style}"),
        ("ink [v2]", "a fox, ink [v2]", "a fox", "a fox, {style}"),
        ("monet's", "a pond by Monet", "a pond", "a pond by {style}"),
        ("cel-shaded", "a cel shaded robot", "a robot", "a {style} robot"),
        ("ink", "a drawing in ink of a cat", "a drawing of a cat", None),
        ("ink", "a ink-like fox", "a fox", None),
        ("ink", "a fox, in the manner of ink", "a fox", None),
    ],
)
def test_recognised_and_cut(style: str, caption: str, content: str, template: str | None):
    cut = split_caption(caption, style)
    assert cut.content == content
    assert template is None or cut.template == template
    assert "{style}" in cut.template and not cut.template.endswith("in {style} style")


@pytest.mark.parametrize(
    ("style", "caption"),
    [
        ("ink", "ink_wash, a fox"),
        ("ink", "a pink fox"),
        ("ink", "drinking, a fox"),
        ("van gogh", "a van, goghing"),
        ("no w", "now"),
        ("monet", "monetary policy"),
        ("v1.5", "v15, a cat"),
    ],
)
def test_other_words_are_left_alone(style: str, caption: str):
    assert split_caption(caption, style).content == caption
    assert split_caption(caption, style).template == caption + ", in {style} style"


def test_names_without_the_style():
    assert without("ink fox", "ink") == "fox"
    assert without("van gogh", "van gogh") == ""
    assert without("red fox", "ink") == "red fox"
