"""The check that a model explains pictures: right, misread, wrongly scaled, untrained."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from guda.backbone import build
from guda.backbone.files.load import DEMO_FOLDER, load
from guda.cli import main
from guda.counterfactuals import load_set
from guda.demo import STYLES
from guda.diffusion.noise import standard_normal
from guda.diffusion.schedule import PREDICTIONS, NoiseSchedule
from guda.errors import ModelError
from guda.groups import from_prompts, load_folder, pictures
from guda.groups.encode import few
from guda.jobs.attribute import AttributeRequest, attribute
from guda.jobs.unlearn import UnlearnRequest, unlearn
from guda.jobs.unlearn import survey as survey_unlearning
from guda.scoring import explains
from guda.scoring.elbo import Query
from guda.scoring.explains import LEVELS, check, measure
from guda.steps import drain


@pytest.fixture(scope="module")
def drawn():
    return load_folder(DEMO_FOLDER.parent / "styles")


@pytest.fixture
def demo():
    return load("demo")


@pytest.fixture
def query(demo, drawn):
    return some(demo, drawn)


def some(model, groups):
    return Query(*few(model, groups, 5))


def said(backbone, query):
    steps = []
    drain(check(backbone, lambda: query), steps.append)
    return [s.warning for s in steps if s.warning]


class Answers:
    """Stands for a model of a given quality: its noise is off by `error` of what is right."""

    name, conditional, resolution, device = "sham", True, 8, torch.device("cpu")
    schedule = NoiseSchedule(torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000).double(), 0))

    def __init__(self, query, output, reading, share=0.2):
        self.query, self.output, self.prediction, self.share = query, output, reading, share

    def predict_eps(self, x_t, t, condition):
        x0 = self.query.latents
        signal, noise = self.schedule.scales(t, x_t)
        eps = (x_t - signal * x0) / noise
        size = self.schedule.alpha_bar[t[0]].item() * self.share
        eps = eps + size**0.5 * standard_normal(7, "off", int(t[0]), 0, eps.shape)
        true = {
            "epsilon": eps,
            "v_prediction": signal * eps - noise * (x_t - noise * eps) / signal,
            "sample": (x_t - noise * eps) / signal,
        }[self.output]
        return self.schedule.to_eps(true, x_t, t, self.prediction)


def sham_query(scale=1.0):
    x = scale * torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    condition = load("demo").encode_prompts(["a"] * 4)
    return Query(x, condition, tuple("abcd"))


def test_the_demo_explains_its_pictures(demo, query):
    found = measure(demo, query)
    assert found.error == pytest.approx((0.05, 0.006), rel=0.3)
    assert found.better is None and said(demo, query) == []
    assert found.evaluations == 2 * explains.MOST


@pytest.mark.parametrize("reading", ["v_prediction", "sample"])
def test_a_misread_model_is_refused_and_told_its_own_kind(drawn, reading, tmp_path):
    model = load("demo", prediction=reading)
    with pytest.raises(ModelError, match=f"is read as {reading}.*Load it with prediction epsilon"):
        drain(unlearn(UnlearnRequest(model, drawn, tmp_path)))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ModelError, match="those of epsilon"):
        drain(survey_unlearning(UnlearnRequest(model, drawn, tmp_path)).price())


@pytest.mark.parametrize("reading", ["v_prediction", "sample"])
def test_a_misread_model_draws_nothing(reading, tmp_path):
    model = load("demo", prediction=reading)
    groups = from_prompts({"Dots": "dots", "Lines": "lines"}, ["a fox"], pictures=4)
    with pytest.raises(ModelError, match="those of epsilon"):
        drain(unlearn(UnlearnRequest(model, groups, tmp_path)))
    with pytest.raises(ModelError, match="those of epsilon"):
        drain(survey_unlearning(UnlearnRequest(model, groups, tmp_path)).price())
    assert not list(tmp_path.iterdir())


def test_before_there_are_pictures_only_the_reading_is_judged(demo, tmp_path, save_model):
    for model in (demo, *(load(save_model(tmp_path / k, prediction=k)) for k in PREDICTIONS)):
        steps = []
        assert drain(explains.check_reading(model), steps.append) == 3 * len(LEVELS)
        assert not any(s.warning for s in steps)


@pytest.mark.parametrize("output", PREDICTIONS)
@pytest.mark.parametrize("reading", PREDICTIONS)
def test_every_kind_is_told_from_every_other(output, reading):
    query = sham_query()
    found = measure(Answers(query, output, reading), query)
    assert found.better == (None if output == reading else output)
    if output == reading:
        assert not found.warning("x")
    for kind in PREDICTIONS:  # whatever it is read as, its output is the same
        expected = measure(Answers(query, output, kind), query).errors
        for k, errors in found.errors.items():
            assert errors == pytest.approx(expected[k], rel=1e-2)


@pytest.mark.parametrize("scale", [1 / 0.18215, 0.18215, 3.0])
def test_a_wrong_scale_of_the_vae_is_said(demo, drawn, scale):
    demo.vae.register_to_config(scaling_factor=demo.vae.config.scaling_factor * scale)
    (told,) = said(demo, some(demo, drawn))
    assert "scaling_factor" in told and "does not explain the pictures" in told


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_an_untrained_model_is_warned_of_and_never_refused(
    tmp_path, save_model, groups, prediction
):
    for seed in range(2):
        model = load(save_model(tmp_path / str(seed), prediction=prediction, seed=seed))
        (told,) = said(model, some(model, groups))
        assert "Scores by it mean nothing" in told


def test_unconditional_models_have_one_reading():
    model = build.digits(0)
    query = Query(torch.rand(2, 4, 4, 4), model.encode_prompts(["", ""]), ("a", "b"))
    found = measure(model, query)
    assert list(found.errors) == ["epsilon"] and found.evaluations == 2 * len(LEVELS)
    assert found.warning("x") and not found.refusal("x")


def test_noise_is_no_reason_to_refuse(demo):
    noise = [torch.rand(3, 64, 64) for _ in range(2)]
    fitted = torch.stack([pictures.fit(p, demo.resolution) for p in noise])
    query = Query(demo.encode_images(fitted), demo.encode_prompts(["", ""]), ("a", "b"))
    assert not measure(demo, query).refusal("x")


def test_pictures_of_little_contrast_are_explained(demo):
    for value in (0.0, 0.5, 1.0):
        plain = torch.full((2, 3, demo.resolution, demo.resolution), value)
        query = Query(demo.encode_images(plain), demo.encode_prompts(["", ""]), ("a", "b"))
        assert said(demo, query) == []


def test_values_that_are_not_finite_are_refused_before_training(demo, drawn, tmp_path):
    with torch.no_grad():
        next(demo.unet.parameters()).view(-1)[0] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        drain(unlearn(UnlearnRequest(demo, drawn, tmp_path)))


def test_few_takes_from_every_group(demo, drawn):
    latents, _, names = few(demo, drawn, 7)
    assert len({k.split("/")[0] for k in names}) == len(STYLES) and len(latents) == 7


def test_scoring_is_refused_and_warned_of_as_well(demo, make_lora, make_set, tmp_path, drawn):
    made = make_set(tmp_path / "set", demo, {"Fluent": make_lora(demo, 0.1)})
    picture = pictures.load(drawn.groups[0].examples[0].path)
    request = AttributeRequest(demo, made, [picture], ["p"], ["cat face, in fluent style"])
    small = dataclasses.replace(request.config, evaluations=4)
    request = dataclasses.replace(request, config=small)
    found = drain(attribute(request))
    assert found.warnings == () and found.unet_evaluations == 2 * 4
    misread = load("demo", prediction="v_prediction")
    manifest = tmp_path / "set" / "counterfactuals.json"  # of a set that was made from it
    manifest.write_text(
        json.dumps(json.loads(manifest.read_text("utf-8")) | {"identity": misread.identity}),
        "utf-8",
    )
    wrong = dataclasses.replace(
        request, backbone=misread, counterfactuals=load_set(manifest.parent)
    )
    with pytest.raises(ModelError, match="those of epsilon"):
        drain(attribute(wrong))
    latents = demo.encode_images(torch.rand(1, 3, demo.resolution, demo.resolution)) / 0.18215
    raw = dataclasses.replace(request, pictures=[], latents=latents)
    assert "does not explain the pictures" in drain(attribute(raw)).warnings[0]


def test_the_plan_says_it_too(model_folder, groups_folder, tmp_path, capsys):
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(groups_folder)]
    assert main([*argv, "--out", str(tmp_path / "x"), "--plan", "--json", "--device", "cpu"]) == 0
    told = capsys.readouterr()
    plan = json.loads(told.out)
    assert plan["unet_evaluations"]["check"] == 2 * explains.MOST
    assert f"guda: warning: {plan['warnings'][0]}\n" in told.err
