"""Prompts that were encoded elsewhere, as the conditioning of a graph is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from guda.config import ElboConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.diffusion import Conditioning
from guda.errors import ImageError
from guda.jobs.attribute import AttributeRequest, attribute, survey
from guda.scoring.direct import Answers
from guda.steps import drain

STYLES = {"Dots": "dots", "Stripes": "stripes", "Waves": "waves"}
PROMPTS = ["a fox", "a long tale " * 20]  # of one and of several times what is read at once


def request(backbone, prompts, **more) -> AttributeRequest:
    pictures = list(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    made, config = DirectCounterfactuals.named(STYLES), ElboConfig(evaluations=4)
    return AttributeRequest(backbone, made, pictures, ["a", "b"], prompts, config, **more)


def scores(work: AttributeRequest) -> np.ndarray:
    found = drain(attribute(work))
    return np.array([[i.elbo, *(i[g].delta for g in found.groups)] for i in found.images])


def test_a_prompt_encoded_elsewhere_is_the_prompt(backbone):
    plain = scores(request(backbone, PROMPTS))
    conditions = backbone.encode_prompts(PROMPTS)
    given = scores(request(backbone, PROMPTS, conditions=conditions))
    np.testing.assert_allclose(given, plain, rtol=1e-4, atol=1e-3)


def test_the_given_prompt_counts_and_not_its_text(backbone):
    """It is what the model's own ELBO is of; the styles stand in the text."""
    plain = scores(request(backbone, PROMPTS))
    others = backbone.encode_prompts(["something else", "another"])
    given = scores(request(backbone, PROMPTS, conditions=others))
    assert np.abs(given[:, 0] - plain[:, 0]).min() > 1e-3
    np.testing.assert_allclose(given[:, 1:], plain[:, 1:], rtol=1e-4, atol=1e-3)


def test_without_a_text_the_styles_stand_behind_the_given_prompt(backbone):
    conditions = backbone.encode_prompts(PROMPTS)
    made = DirectCounterfactuals.named(STYLES).prompts(["", ""], encoded=True)
    answers = Answers.of(backbone, made, conditions)
    assert answers.place.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    for i in range(2):
        own = conditions.embeds[i, : conditions.lengths()[i]]
        for k, style in enumerate(STYLES.values()):
            row = answers.place[i, k]
            tokens = answers.condition.embeds[row, : answers.condition.lengths()[row]]
            (words,) = backbone.encode_prompts([f"in {style} style"]).embeds
            torch.testing.assert_close(tokens, torch.cat([own, words]))
    blank = scores(request(backbone, ["", ""], conditions=conditions))
    assert np.isfinite(blank).all() and np.abs(blank[:, 1:]).max() > 1e-3


def test_what_stands_beside_the_text_is_the_first_s():
    first = Conditioning(torch.ones(1, 2, 3), {"text_embeds": torch.ones(1, 4)})
    other = Conditioning(torch.zeros(1, 2, 3), {"text_embeds": torch.zeros(1, 4)})
    both = first.then(other)
    assert both.embeds[0, :, 0].tolist() == [1, 1, 0, 0]
    assert both.added["text_embeds"].tolist() == [[1, 1, 1, 1]]


def test_there_is_one_for_every_picture(backbone):
    conditions = backbone.encode_prompts(["a"])
    with pytest.raises(ImageError, match="1 conditionings were given for 2 pictures"):
        survey(request(backbone, PROMPTS, conditions=conditions))
