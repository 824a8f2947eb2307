"""Scoring: exact zeros, invariances, counted evaluations, and three ways to the same number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from guda.config import ElboConfig
from guda.diffusion.noise import standard_normal
from guda.errors import CounterfactualError, ImageError
from guda.jobs.attribute import AttributeRequest, attribute
from guda.scoring import allocation
from guda.scoring.differences import differences, score_queries
from guda.scoring.elbo import Query, chunks, noised, weighted_terms
from guda.scoring.verdict import Outcome, interval
from guda.steps import drain

FEW = ElboConfig(evaluations=8)


@pytest.fixture
def pictures():
    rng = torch.Generator().manual_seed(0)
    return list(torch.rand(3, 3, 32, 32, generator=rng))


@pytest.fixture
def query(backbone, pictures):
    return Query(
        backbone.encode_images(torch.stack(pictures)),
        backbone.encode_prompts(["a fox", "a cat", "a house"]),
        ("p", "q", "r"),
    )


@pytest.fixture
def loras(backbone, make_lora):
    """Counterfactuals that differ from the model, and from each other, in size."""
    sizes = (("a", 1.0), ("b", 2.0), ("c", 3.0))
    return {n: make_lora(backbone, s, seed=i) for i, (n, s) in enumerate(sizes)}


def scores(backbone, loras, query, config=FEW):
    return drain(score_queries(backbone, loras, query, config))


def pick(query, index):
    return Query(
        query.latents[index], query.condition.take(index), tuple(query.keys[i] for i in index)
    )


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())


def request(backbone, made, pictures, prompts=("a fox",), config=FEW, names=None):
    names = names or [f"{i}.png" for i in range(len(pictures))]
    return AttributeRequest(backbone, made, pictures, names, prompts, config)


def test_untouched_counterfactuals_score_exactly_zero(
    backbone, make_lora, make_set, pictures, tmp_path
):
    untouched = {n: make_lora(backbone, 0.0, seed=i) for i, n in enumerate("abc")}
    made = make_set(tmp_path, backbone, untouched)
    for schedule in ("log", "uniform", "importance"):
        config = ElboConfig(evaluations=8, pilot=4, schedule=schedule)
        found = drain(attribute(request(backbone, made, pictures, config=config)))
        for image in found.images:
            assert image.outcome == Outcome.NONE
            for s in image.scores:
                assert (s.delta, s.stderr, s.low, s.high, s.share) == (0.0,) * 5
        assert not found.maps.any() and not found.profile.any()


def test_the_whole_way_through_the_pipeline(backbone, loras, make_set, pictures, tmp_path):
    made = make_set(tmp_path, backbone, loras)
    steps = []
    found = drain(attribute(request(backbone, made, pictures)), steps.append)
    assert found.groups == ("a", "b", "c") and len(found.images) == 3
    assert found.unet_evaluations == 3 * 8 * 4
    assert found.full_model == {"name": "tiny", "fingerprint": backbone.fingerprint}
    assert found.estimate == {k: v for k, v in FEW.as_dict().items() if k != "mixture"}
    assert found.maps.shape == (3, 3, 16, 16) and found.profile.shape == (3, 3, 4)
    assert len(found.strata) == 4
    for i, image in enumerate(found.images):
        assert (image.image, image.prompt) == (f"{i}.png", "a fox")
        assert [s.rank for s in image.scores] == [1, 2, 3]
        assert sum(s.share for s in image.scores) == pytest.approx(1)
        for s in image.scores:
            assert found.map_of(i, s.group).double().sum() == pytest.approx(s.delta, rel=1e-4)
            k = found.groups.index(s.group)
            assert found.profile[i, k].sum().item() == pytest.approx(s.delta, rel=1e-9)
            assert s.low <= s.delta <= s.high
    score_steps = [s for s in steps if s.stage == "score"]
    assert [s.done for s in score_steps] == [24, 48, 72, 96]
    assert score_steps[-1].done == score_steps[-1].total
    assert [s.group for s in score_steps] == ["full model", "a", "b", "c"]


def test_the_batch_size_does_not_matter(backbone, loras, query):
    whole = scores(backbone, loras, query)
    for size in (1, 5):
        split = scores(backbone, loras, query, FEW.replace(batch_size=size))
        close(split.contributions, whole.contributions)
        close(split.maps.numpy(), whole.maps.numpy())
        np.testing.assert_allclose(split.elbo, whole.elbo, rtol=1e-5)


def test_the_chunks_of_pictures_do_not_matter(backbone, loras, query, monkeypatch):
    whole = scores(backbone, loras, query)
    monkeypatch.setattr(
        "guda.scoring.differences.chunks", lambda i, p, n: chunks(i, p, n, most=2 * p * n)
    )
    close(scores(backbone, loras, query).contributions, whole.contributions)
    assert [len(range(7)[s]) for s in chunks(7, 8, 1024, most=3 * 8 * 1024)] == [3, 3, 1]


def test_the_order_of_pictures_and_their_company_do_not_matter(backbone, loras, query):
    whole = scores(backbone, loras, query)
    turned = scores(backbone, loras, pick(query, [2, 0, 1]))
    close(turned.contributions, whole.contributions[[2, 0, 1]])
    alone = scores(backbone, loras, pick(query, [1]))
    close(alone.contributions[0], whole.contributions[1])
    assert torch.equal(alone.points.t, whole.points.t)


def test_the_order_of_groups_and_a_subset_do_not_matter(backbone, loras, query):
    whole = scores(backbone, loras, query)
    turned = scores(backbone, {n: loras[n] for n in "cab"}, query)
    np.testing.assert_array_equal(turned.contributions, whole.contributions[:, [2, 0, 1]])
    some = scores(backbone, {"b": loras["b"]}, query)
    np.testing.assert_array_equal(some.contributions[:, 0], whole.contributions[:, 1])
    np.testing.assert_array_equal(some.elbo, whole.elbo)


def test_contributions_and_maps_sum_to_the_difference_of_elbos(backbone, loras, query):
    found = scores(backbone, loras, query)
    damaged = {}
    for k, lora in enumerate(loras.values()):
        with backbone.counterfactual(lora):
            damaged[k] = scores(backbone, {}, query).elbo
        delta = found.contributions[:, k].sum(-1)
        np.testing.assert_allclose(found.elbo - damaged[k], delta, rtol=1e-5)
        np.testing.assert_allclose(found.maps[:, k].double().sum((1, 2)), delta, rtol=1e-4)


def test_terms_by_hand(backbone, query):
    points = allocation.points(FEW, 1000)
    one = pick(query, [1])
    work = noised(one, points, backbone.schedule, seed=4)
    found = torch.cat(list(weighted_terms(backbone, work, 3)))
    a = backbone.schedule.alpha_bar
    for i, (t, n) in enumerate(zip(points.t.tolist(), points.draw.tolist(), strict=True)):
        eps = standard_normal(4, "q", t, n, (4, 16, 16))
        x_t = a[t].sqrt() * one.latents[0].double() + (1 - a[t]).sqrt() * eps.double()
        with torch.no_grad():
            eps_hat = backbone.unet(x_t[None].float(), t, one.condition.embeds).sample[0]
        weight = backbone.schedule.kl_weight(torch.tensor([t])).item() * points.weight[i].item()
        expected = weight * (eps - eps_hat).double().square().sum(0)
        torch.testing.assert_close(found[i].double(), expected, rtol=1e-4, atol=1e-4)


class Calls:
    """Counts the rows that pass through the real UNet, and remembers what went in."""

    def __init__(self, unet):
        self.inputs: list[torch.Tensor] = []
        self.weights: list[torch.Tensor] = []
        self._unet, self._path = unet, None
        unet.register_forward_pre_hook(self._saw)

    def _saw(self, module, args):
        self.inputs.append(args[0].clone())
        name = next(n for n, _ in module.named_parameters() if "attn2.to_q" in n)
        self.weights.append(module.get_parameter(name).detach().clone())

    @property
    def rows(self) -> int:
        return sum(map(len, self.inputs))


@pytest.mark.parametrize("schedule", ["log", "uniform", "importance"])
def test_evaluations_are_counted(backbone, loras, query, schedule):
    calls = Calls(backbone.unet)
    config = ElboConfig(evaluations=8, pilot=4, schedule=schedule, batch_size=5)
    found = scores(backbone, loras, query, config)
    assert found.unet_evaluations == calls.rows
    assert calls.rows == 3 * 4 * (8 + 4 * (schedule == "importance"))


def test_all_models_see_the_same_noise_and_the_full_model_once(backbone, loras, query):
    full = next(p for n, p in backbone.unet.named_parameters() if "attn2.to_q" in n).clone()
    calls = Calls(backbone.unet)
    scores(backbone, loras, query)
    assert len(calls.inputs) == 4
    assert all(torch.equal(x, calls.inputs[0]) for x in calls.inputs)
    assert [torch.equal(w, full) for w in calls.weights] == [True, False, False, False]


def test_the_gradient_mode_is_the_callers(backbone, loras, query):
    for _ in score_queries(backbone, loras, query, FEW):
        assert torch.is_grad_enabled()


def test_stopping_half_way_restores_the_model(backbone, loras, query):
    before = {k: v.clone() for k, v in backbone.unet.state_dict().items()}
    steps = score_queries(backbone, loras, query, FEW.replace(batch_size=4))
    for step in steps:
        if step.group == "b":
            break
    assert any(not torch.equal(v, before[k]) for k, v in backbone.unet.state_dict().items())
    steps.close()
    assert all(torch.equal(v, before[k]) for k, v in backbone.unet.state_dict().items())


class Reparametrized(nn.Module):
    """The same function as `unet`, but as it would predict v or x0."""

    def __init__(self, unet, alpha_bar, kind):
        super().__init__()
        self.inner, self.alpha_bar, self.kind = unet, alpha_bar, kind
        self.dtype = torch.float32

    def forward(self, x_t, t, encoder_hidden_states):
        out = self.inner(x_t, t, encoder_hidden_states=encoder_hidden_states)
        a = self.alpha_bar[t].view(-1, 1, 1, 1)
        eps, x = out.sample.double(), x_t.double()
        x0 = (x - (1 - a).sqrt() * eps) / a.sqrt()
        out.sample = (x0 if self.kind == "sample" else a.sqrt() * eps - (1 - a).sqrt() * x0).float()
        return out


@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
def test_parametrizations_of_one_function_agree(backbone, query, kind):
    work = noised(query, allocation.points(ElboConfig(), 1000), backbone.schedule, 0)
    expected = torch.cat(list(weighted_terms(backbone, work, 32)))
    backbone.unet = Reparametrized(backbone.unet, backbone.schedule.alpha_bar, kind)
    backbone.prediction = kind
    found = torch.cat(list(weighted_terms(backbone, work, 32)))
    torch.testing.assert_close(found.sum((1, 2)), expected.sum((1, 2)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("schedule", ["log", "importance"])
def test_the_intervals_cover_the_full_sum(backbone, make_damage, query, schedule):
    """`exact` evaluates every timestep but one."""
    lora, one = {"a": make_damage(backbone, 0.3)}, pick(query, [0])
    config = ElboConfig(evaluations=998, schedule="uniform", seed=100)
    exact = scores(backbone, lora, one, config).contributions.sum()
    covered = []
    for seed in range(3):
        config = ElboConfig(evaluations=64, schedule=schedule, seed=seed)
        delta, _, half = interval(scores(backbone, lora, one, config).contributions[0, 0], 0.95)
        assert delta == pytest.approx(exact, rel=0.06)
        covered.append(abs(delta - exact) <= half)
    assert sum(covered) >= 2


def test_a_coarse_even_stride_misses_the_least_noise(backbone, make_damage, query):
    """Its first timestep is 15, below which the weights are largest: its deltas are too small."""
    lora, one = {"a": make_damage(backbone, 0.3)}, pick(query, [0])
    found = {
        n: scores(backbone, lora, one, ElboConfig(evaluations=n, schedule="uniform"))
        for n in (64, 256)
    }
    exact = scores(backbone, lora, one, ElboConfig(evaluations=256)).contributions.sum()
    coarse, finer = (found[n].contributions.sum() for n in (64, 256))
    assert 0.6 * exact < coarse < finer < 1.02 * exact


def test_the_pilot_moves_evaluations_to_where_the_difference_spreads(
    backbone, make_lora, make_damage, query
):
    lora = {"a": make_damage(backbone, 0.3)}
    config = ElboConfig(evaluations=64, schedule="importance", pilot=16)
    points = scores(backbone, lora, query, config).points
    assert len(points) == 64 and points.t.min() >= 1 and points.t.max() <= 999
    assert points.weight.sum().item() == pytest.approx(999)
    again = scores(backbone, lora, query, config).points
    assert torch.equal(points.t, again.t)
    spread = scores(backbone, {"a": make_lora(backbone, 0.0)}, query, config)
    assert not spread.contributions.any(), "a pilot that sees no difference is no error"


def test_a_group_that_the_model_needs_scores_above_zero(
    backbone, make_lora, make_damage, make_set, pictures, tmp_path
):
    """Without "needed" the model is badly damaged; without "spare" it is as it was."""
    loras = {"spare": make_lora(backbone, 0.0), "needed": make_damage(backbone, 0.3)}
    made = make_set(tmp_path, backbone, loras)
    config = ElboConfig(evaluations=64)
    found = drain(attribute(request(backbone, made, pictures, config=config)))
    for image in found.images:
        assert image["needed"].delta > 0 and image["needed"].low > 0
        assert image["spare"].delta == 0.0
        assert image.verdict == "needed" and image.scores[0].group == "needed"
        assert image["needed"].share == 1.0


def test_the_eps_weighting_is_the_plain_loss(backbone, loras, query):
    config = FEW.replace(weighting="eps")
    points = allocation.points(config, 1000)
    found = scores(backbone, loras, query, config)
    kl = scores(backbone, loras, query)
    w = backbone.schedule.kl_weight(points.t).numpy()
    close(found.contributions * w, kl.contributions)


def test_the_seed_changes_the_noise(backbone, loras, query):
    one = drain(differences(backbone, loras, query, allocation.points(FEW, 1000), FEW))
    two = drain(
        differences(backbone, loras, query, allocation.points(FEW, 1000), FEW.replace(seed=1))
    )
    assert not np.allclose(one.elbo, two.elbo, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"pictures": []},
            ImageError,
            "No picture was given; give at least one.",
        ),
        (
            {"prompts": ["a", "b"]},
            ImageError,
            "2 prompts were given for 3 pictures; give one prompt for all, or one per picture.",
        ),
        (
            {"prompts": []},
            ImageError,
            "0 prompts were given for 3 pictures; give one prompt for all, or one per picture.",
        ),
        (
            {"names": ["x"]},
            ImageError,
            "1 names were given for 3 pictures; give one per picture.",
        ),
    ],
)
def test_counts_that_do_not_match(
    backbone, loras, make_set, pictures, tmp_path, change, error, message
):
    made = make_set(tmp_path, backbone, loras)
    settings = {"pictures": pictures, "prompts": ["a"]} | change
    with pytest.raises(error) as caught:
        next(attribute(request(backbone, made, **settings)))
    assert str(caught.value) == message


def test_an_empty_set_is_refused(backbone, make_set, pictures, tmp_path):
    with pytest.raises(CounterfactualError, match="holds no style"):
        next(attribute(request(backbone, make_set(tmp_path, backbone, {}), pictures)))


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (torch.full((3, 32, 32), float("nan")), "not finite"),
        (torch.ones(3, 1, 1), "1x1 pixels"),
        (torch.ones(32, 32), "shape"),
    ],
)
def test_bad_pictures_are_refused_first(
    backbone, loras, make_set, pictures, tmp_path, picture, words
):
    made = make_set(tmp_path, backbone, loras)
    calls = Calls(backbone.unet)
    with pytest.raises(ImageError, match=words):
        next(attribute(request(backbone, made, [*pictures, picture])))
    assert calls.rows == 0
