"""Which styles the model knows: laws of the distances, and the built-in model's verdicts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from guda.backbone.files.load import load
from guda.config import ElboConfig, SampleConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.demo import STYLES
from guda.diffusion.room import Room
from guda.errors import CounterfactualError, GroupsError
from guda.groups.draw import draw
from guda.jobs.attribute import AttributeRequest
from guda.jobs.attribute import survey as survey_pictures
from guda.jobs.styles import FEW, LOOKS, StylesRequest, styles, survey
from guda.scoring.known import Asked, Distances, Knowledge, distances, evaluations, judge
from guda.steps import drain

MADE_UP = ("qzorp", "vlim", "dolm")


@pytest.fixture(scope="module")
def demo():
    return load("demo")


def ask(backbone, phrases, batch=64, contents=("a fox", "a cat")):
    latents = torch.randn(
        len(contents), *backbone.latent_shape, generator=torch.Generator().manual_seed(0)
    )
    asked = Asked(
        contents,
        tuple(tuple(p.replace("{c}", c) for p in phrases) for c in contents),
        tuple(tuple(f"{c}, in {name} style" for name in MADE_UP) for c in contents),
    )
    steps = distances(backbone, asked, latents, contents, Room(batch, backbone.device))
    return drain(steps)


def test_a_phrase_that_leaves_the_prompt_as_it_is_is_no_distance_away(backbone):
    far = ask(backbone, ["{c}", "{c}, in dots style"])
    assert far.from_alone[:, 0].max() < 1e-10 < far.from_alone[:, 1].min()
    judged, *_ = judge(far, ["same", "dots"], ["", "dots"])
    assert judged[0].knowledge is Knowledge.UNKNOWN and judged[0].change < 1e-5


def test_neither_the_order_of_styles_nor_the_batch_size_changes_anything(backbone):
    phrases = ["{c}, in dots style", "{c}, in waves style", "{c} by ink"]
    one, other = ask(backbone, phrases), ask(backbone, phrases[::-1], batch=2)
    np.testing.assert_allclose(one.of_styles, other.of_styles[:, ::-1], rtol=1e-3, atol=1e-12)
    np.testing.assert_allclose(one.of_made_up, other.of_made_up, rtol=1e-3, atol=1e-12)
    assert one.of_styles.size + one.of_made_up.size + 4 == evaluations(2, 3, 3)


def test_the_distance_is_that_from_the_mean_answer_to_made_up_names(backbone):
    far = ask(backbone, [f"{{c}}, in {MADE_UP[0]} style"])
    # The first made-up name, as a style: |a_1 - mean|^2, once scaled by n / (n + 1), once by
    # n / (n - 1).
    np.testing.assert_allclose(far.of_styles[:, 0] * 4, far.of_made_up[:, 0] * 2, rtol=1e-3)


def known(values):
    rng = np.random.default_rng(0)
    made_up = np.exp(rng.normal(0, 0.5, (12, 1, 32)).repeat(2, 1)).reshape(24, 32)
    return Distances(np.array(values), made_up, np.ones((24, 1)), 12)


@pytest.mark.parametrize(
    ("ratio", "spread", "said"),
    [
        (1.0, 0.1, Knowledge.UNKNOWN),
        (8.0, 0.1, Knowledge.KNOWN),
        (8.0, 4.0, Knowledge.HARDLY),  # far, but not in all contents
        (0.1, 0.1, Knowledge.UNKNOWN),
    ],
)
def test_known_is_far_and_surely_so(ratio, spread, said):
    signs = np.tile([1, 1, -1, -1], 6)
    (one,), sure, likely = judge(known((ratio * np.exp(spread * signs))[:, None]), ["a"], ["a"])
    assert one.knowledge is said and one.low < one.times < one.high
    assert 1 < likely < sure


def test_made_up_names_are_hardly_ever_known():
    rng = np.random.default_rng(1)
    said = []
    for _ in range(40):
        logs = rng.normal(0, 0.7, (1, 82)) + rng.normal(0, 0.3, (12, 82))
        far = Distances(np.exp(logs[:, 32:]), np.exp(logs[:, :32]), np.ones((12, 50)), 6)
        said += [s.knowledge for s in judge(far, ["x"] * 50, ["x"] * 50)[0]]
    assert said.count(Knowledge.KNOWN) <= 0.01 * len(said)
    assert said.count(Knowledge.UNKNOWN) >= 0.95 * len(said)


def test_the_built_in_model_knows_its_styles_and_no_others(demo):
    named = dict(STYLES) | {n: n for n in ("openmoji", "van gogh", "watercolor", "dremp ulosk")}
    request = StylesRequest(demo, DirectCounterfactuals.named(named))
    told = drain(styles(request))
    assert told.named(Knowledge.KNOWN) == tuple(STYLES)
    assert told.named(Knowledge.UNKNOWN) == ("openmoji", "van gogh", "watercolor", "dremp ulosk")
    assert sum(survey(request).evaluations.values()) == told.unet_evaluations


@pytest.mark.parametrize(
    ("named", "contents", "words"),
    [
        ({}, ("a", "b"), "there are no styles to ask for"),
        ({"a": "a"}, ("a fox", "a fox"), "the contents are 'a fox'; give two different ones"),
        ({"a": "a"}, (), "the contents are none"),
        ({"a": "a"}, ("a fox", " "), "none of them blank"),
    ],
)
def test_what_cannot_be_asked_is_refused(backbone, named, contents, words):
    made = DirectCounterfactuals.named(named)
    with pytest.raises(GroupsError, match=words):
        survey(StylesRequest(backbone, made, contents))


def test_a_model_without_prompts_knows_no_style(backbone, monkeypatch):
    monkeypatch.setattr(backbone, "conditional", False)
    with pytest.raises(CounterfactualError, match="takes no prompts"):
        survey(StylesRequest(backbone, DirectCounterfactuals.named({"a": "a"})))


def test_a_direct_score_warns_of_a_style_that_the_model_does_not_know(demo):
    picture = drain(draw(demo, ["fox, in twemoji style"], SampleConfig(steps=8)))
    named = {n: STYLES[n] for n in ("Twemoji", "Fluent", "EmojiOne")} | {"Unheard": "dremp ulosk"}
    made = DirectCounterfactuals.named(named)
    prompts, config = ["fox, in twemoji style"], ElboConfig(evaluations=4)
    work = survey_pictures(
        AttributeRequest(demo, made, list(picture), ["fox.png"], prompts, config)
    )
    told = drain(work.run())
    (warning,) = (w for w in told.warnings if "does not seem to know" in w)
    assert '"Unheard" by name' in warning
    assert sum(f'"{name}"' in warning for name in named) == 1
    plan = drain(work.price())
    assert plan.evaluations["styles"] == LOOKS * (1 + 4 + FEW)
