"""Direct counterfactuals: an independent computation, laws of the mixtures, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from guda.config import DIRECT_EVALUATIONS, ElboConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.diffusion.noise import picture_key, standard_normal
from guda.errors import CounterfactualError, GroupsError, ModelError
from guda.groups import load_folder
from guda.jobs.attribute import AttributeRequest, attribute, survey
from guda.scoring import allocation
from guda.scoring.direct import Prompts, score_directly
from guda.scoring.elbo import Query
from guda.scoring.mixtures import nearest_mixture, without_each
from guda.steps import drain
from guda.variants import MIXTURES

FEW = ElboConfig(evaluations=8)
STYLES = {"Dots": "dots", "Stripes": "stripes", "Waves": "waves"}


@pytest.fixture
def pictures():
    rng = torch.Generator().manual_seed(0)
    return list(torch.rand(2, 3, 32, 32, generator=rng))


def ask(backbone, pictures, styles=STYLES, prompts=("a fox",), config=FEW):
    names = [f"{i}.png" for i in range(len(pictures))]
    made = DirectCounterfactuals.named(styles)
    return AttributeRequest(backbone, made, pictures, names, list(prompts), config)


def deltas(attribution):
    return np.array([[i[g].delta for g in sorted(attribution.groups)] for i in attribution.images])


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * np.abs(b).max())


@torch.no_grad()
def test_two_styles_differ_by_two_conditional_errors_of_diffusers(model_folder, backbone, pictures):
    """delta_a - delta_b is the KL-weighted error of b's prompt minus that of a's, whatever q."""
    config = FEW.replace(mixture="uniform")
    styles = {"A": "dots", "B": "waves"}
    found = drain(attribute(ask(backbone, pictures, styles, ["a fox"], config)))

    pipe = StableDiffusionPipeline.from_pretrained(model_folder, safety_checker=None)
    points = allocation.points(config, 1000)
    alpha = pipe.scheduler.alphas_cumprod.double()
    for image, picture in zip(found.images, found.pictures, strict=True):
        latents = pipe.vae.encode(2 * picture[None] - 1).latent_dist.mean
        latents = latents * pipe.vae.config.scaling_factor
        errors = []
        for style in styles.values():
            ids = pipe.tokenizer(
                f"a fox, in {style} style", padding="max_length", return_tensors="pt"
            ).input_ids
            text = pipe.text_encoder(ids).last_hidden_state
            total = 0.0
            for t, i, weight in zip(points.t, points.draw, points.weight, strict=True):
                eps = standard_normal(0, picture_key(picture), int(t), int(i), latents.shape[1:])
                x_t = pipe.scheduler.add_noise(latents, eps[None], t[None])
                error = (pipe.unet(x_t, t, encoder_hidden_states=text).sample - eps).square().sum()
                beta = 1 - alpha[t] / alpha[t - 1]
                sigma2 = beta * (1 - alpha[t - 1]) / (1 - alpha[t])
                w = beta**2 / (2 * sigma2 * (1 - beta) * (1 - alpha[t]))
                total += float(w * weight * error)
            errors.append(total)
        close(image["A"].delta - image["B"].delta, errors[1] - errors[0])


def test_neither_the_order_of_styles_nor_the_batch_changes_anything(backbone, pictures):
    base = drain(attribute(ask(backbone, pictures, prompts=["a fox", "waves, a cat"])))
    turned = dict(reversed(STYLES.items()))
    prompts = ["a fox", "waves, a cat"]
    for config, styles in ((FEW, turned), (FEW.replace(batch_size=1), STYLES)):
        other = drain(attribute(ask(backbone, pictures, styles, prompts, config)))
        close(deltas(other), deltas(base))
    alone = drain(attribute(ask(backbone, pictures[:1])))
    close(deltas(alone), deltas(base)[:1])


@pytest.mark.parametrize("mixture", MIXTURES)
def test_styles_that_the_model_answers_alike_change_nothing(backbone, pictures, mixture):
    query = Query(
        backbone.encode_images(torch.stack(pictures)), backbone.encode_prompts(["", ""]), ("p", "q")
    )
    same = Prompts((("a fox",) * 3,) * 2, ("a fox",) * 2)
    config = FEW.replace(mixture=mixture)
    found = drain(score_directly(backbone, same, query, config))
    assert np.abs(found.contributions).max() < 1e-4 * np.abs(found.elbo).max()


@pytest.mark.parametrize("mixture", MIXTURES)
def test_weights_add_up_to_one_with_and_without_each_style(mixture):
    rng = torch.Generator().manual_seed(1)
    r = torch.randn(5, 4, 20, generator=rng, dtype=torch.float64)
    evidence = 10 * torch.randn(5, 3, generator=rng, dtype=torch.float64)
    q = MIXTURES[mixture](r @ r.transpose(1, 2), evidence)
    assert q.shape == (5, 3) and (q >= 0).all()
    torch.testing.assert_close(q.sum(-1), torch.ones(5, dtype=torch.float64))
    left = without_each(q)
    torch.testing.assert_close(left.sum(-1), torch.ones(5, 3, dtype=torch.float64))
    assert not left.diagonal(dim1=1, dim2=2).any()


def test_a_style_without_which_no_weight_is_left_gives_way_to_all_the_others():
    left = without_each(torch.tensor([[1.0, 0.0, 0.0]]))
    assert left[0].tolist() == [[0, 0.5, 0.5], [1, 0, 0], [1, 0, 0]]


def test_least_squares_finds_the_mixture_that_the_prompt_is():
    rng = torch.Generator().manual_seed(2)
    r = torch.randn(6, 3, 50, generator=rng, dtype=torch.float64)
    q = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    r = torch.cat([r, torch.einsum("j,njd->nd", q, r)[:, None]], 1)
    torch.testing.assert_close(
        nearest_mixture(r @ r.transpose(1, 2)), q.expand(6, 3), atol=0.01, rtol=0
    )


def test_maps_and_profile_add_up_to_the_scores_and_the_evaluations_are_as_planned(
    backbone, pictures
):
    work = survey(ask(backbone, pictures, config=ElboConfig()))
    assert work.evaluations == 2 * DIRECT_EVALUATIONS * 4
    found = drain(work.run())
    assert found.direct and found.unet_evaluations == work.evaluations
    assert drain(work.price()).evaluations["score"] == work.evaluations
    for i, image in enumerate(found.images):
        for k, name in enumerate(found.groups):
            close(found.maps[i, k].sum().item(), image[name].delta)
            close(found.profile[i, k].sum().item(), image[name].delta)


def test_importance_spends_a_pilot(backbone, pictures):
    config = ElboConfig(evaluations=8, pilot=4, schedule="importance")
    work = survey(ask(backbone, pictures, config=config))
    assert drain(work.run()).unet_evaluations == work.evaluations == 2 * 12 * 4


def test_groups_of_a_folder_are_asked_by_their_phrases(backbone, groups_folder, pictures):
    groups = load_folder(groups_folder)
    made = DirectCounterfactuals.of(groups)
    assert made.names == groups.names and made.template == "{content}, in {style} style"
    request = dataclasses.replace(ask(backbone, pictures), counterfactuals=made)
    assert set(drain(attribute(request)).groups) == set(groups.names)


@pytest.mark.parametrize(
    ("styles", "error", "words"),
    [
        ({"Ink": "ink"}, CounterfactualError, "two styles at least"),
        ({"Ink": "ink", "Tusche": " INK "}, GroupsError, 'the same phrase "INK"'),
        ({"Ink": "ink", "Oil": " "}, GroupsError, '"Oil" has a blank'),
    ],
)
def test_what_cannot_be_compared_is_refused(backbone, pictures, styles, error, words):
    with pytest.raises(error, match=words):
        survey(ask(backbone, pictures, styles))


def test_a_model_without_prompts_is_refused(pictures):
    from guda.backbone import build

    with pytest.raises(CounterfactualError, match="takes no prompts"):
        survey(ask(build.digits(0), pictures))


def test_answers_that_are_not_finite_are_refused(backbone, pictures):
    with torch.no_grad():
        backbone.unet.conv_out.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        drain(attribute(ask(backbone, pictures)))
