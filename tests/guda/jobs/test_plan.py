"""The plan: the evaluations that the UNet then does, and time and disk of the right order."""

from __future__ import annotations

import itertools
import json
import time
from types import SimpleNamespace

import pytest
import torch

from guda.backbone import build
from guda.budget import footprint, warmup
from guda.cli import main
from guda.config import ElboConfig, MemoryConfig, SampleConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.groups import from_prompts, parse_styles
from guda.groups.pictures import save_png
from guda.jobs.attribute import AttributeRequest, attribute
from guda.jobs.attribute import survey as survey_attribution
from guda.jobs.plan import Plan, amount, duration
from guda.jobs.unlearn import UnlearnRequest, unlearn
from guda.jobs.unlearn import survey as survey_unlearning
from guda.steps import drain
from guda.unlearning import rates
from guda.variants import OPERATORS


class Counter:
    """Noisy pictures that went through the real UNet."""

    def __init__(self, unet: torch.nn.Module):
        self.rows = 0
        unet.register_forward_hook(self._count)

    def _count(self, module, args, output):
        self.rows += len(output.sample)


def planned(steps) -> Plan:
    return drain(steps)


def counted(backbone, work) -> int:
    counter = Counter(backbone.unet)
    drain(work)
    return counter.rows


@pytest.mark.parametrize(("operator", "anchors"), [*((o, 1) for o in OPERATORS), ("redirect", 3)])
def test_unlearnings_evaluations_are_exact(backbone, groups, quick, tmp_path, operator, anchors):
    recipe = quick.replace(steps=2, operator=operator, retain_batch_size=2, anchors=anchors)
    request = UnlearnRequest(backbone, groups, tmp_path, recipe, ["dots"])
    plan = planned(survey_unlearning(request).price())
    assert plan.steps == 2
    assert plan.total == counted(backbone, unlearn(request))


@pytest.mark.parametrize(("start", "asked"), [("zero", 1), ("text", 2)])
def test_looks_are_planned_up_to_the_limit(backbone, groups, quick, tmp_path, start, asked):
    """From the text, what is left without the style's name is looked at, too."""
    recipe = quick.replace(steps=15, stop="auto", goal=1.0, start=start)
    request = UnlearnRequest(backbone, groups, tmp_path, recipe, ["dots"])
    plan = planned(survey_unlearning(request).price())
    assert plan.evaluations["look"] == 2 * (asked + 2) * 8
    assert str(plan).startswith("at most 15 optimizer steps")
    assert plan.total == counted(backbone, unlearn(request))


def test_trials_of_rates_are_planned_up_to_their_most(backbone, groups, quick, tmp_path):
    recipe = quick.replace(steps=2, lr_probe="auto")
    request = UnlearnRequest(backbone, groups, tmp_path, recipe, ["dots"])
    plan = planned(survey_unlearning(request).price())
    assert plan.steps == 2 * rates.MOST + 2 and plan.at_most
    counter, made = Counter(backbone.unet), drain(unlearn(request))
    each = 2 * 12 + (1 + 2) * 8  # steps of 2 x (3 + 3) pictures, and a look
    assert plan.total - each * (rates.MOST - len(made.trials)) == counter.rows
    assert planned(survey_unlearning(request).price()).steps == 0


def test_smaller_pictures_are_planned_at_their_own_size(backbone, groups, quick, tmp_path):
    side = backbone.resolution // 2

    def plan(name, **changes):
        request = UnlearnRequest(
            backbone, groups, tmp_path / name, quick.replace(steps=2, **changes), ["dots"]
        )
        return request, planned(survey_unlearning(request).price())

    (_, whole), (request, small) = plan("whole"), plan("small", unlearn_resolution=side)
    assert small.evaluations == whole.evaluations
    assert small.total == counted(backbone, unlearn(request))
    assert small.memory.activations < 0.6 * whole.memory.activations
    gate = whole.evaluations["gate"]
    assert whole.per_style == (2 * 12 + gate, 2 * 12 + gate) and "all steps" not in str(whole)
    assert small.per_style == (2 * 12 // 4 + gate, 2 * 12 + gate)
    assert f"for each style {6 + gate} evaluations at the model's size ({24 + gate} with" in str(
        small
    )
    assert small.as_dict()["evaluations_per_style"]["planned"] == 6 + gate


def test_an_unconditional_models_evaluations_are_exact(groups, quick, tmp_path):
    model = build.digits(0)
    request = UnlearnRequest(
        model, groups, tmp_path, quick.replace(steps=2, operator="esd"), ["dots"]
    )
    plan = planned(survey_unlearning(request).price())
    assert plan.total == counted(model, unlearn(request))


def test_what_is_finished_or_begun_is_not_planned_again(backbone, groups, quick, tmp_path):
    request = UnlearnRequest(backbone, groups, tmp_path, quick)
    whole = planned(survey_unlearning(request).price())
    assert whole.steps == 18 and whole.reused == ""
    steps = unlearn(request)
    for step in steps:
        if (step.stage, step.group, step.done) == ("unlearn", "stripes", 4):
            break
    steps.close()
    left = planned(survey_unlearning(request).price())
    assert left.steps == 2 + 6
    assert "1 of 3 styles are finished already" in str(left)
    assert "4 steps of 1 style(s) are done already" in str(left)
    assert left.total == counted(backbone, unlearn(request))
    nothing = planned(survey_unlearning(request).price())
    assert str(nothing) == "Nothing to do: 3 of 3 styles are finished already."


def test_pictures_still_to_draw_are_planned(backbone, quick, tmp_path):
    sampling = SampleConfig(pictures=4, steps=3, batch_size=3)
    groups = from_prompts(parse_styles("Dots: dots\nLines: lines"), list("abcd"), pictures=4)
    request = UnlearnRequest(backbone, groups, tmp_path, quick.replace(steps=1), None, sampling)
    plan = planned(survey_unlearning(request).price())
    assert plan.evaluations["pictures"] == 8 * 3 * 2
    assert plan.total == counted(backbone, unlearn(request))
    next(iter((tmp_path / "pictures").rglob("*.png"))).unlink()
    again = planned(survey_unlearning(request).price())
    assert again.evaluations["pictures"] == 3 * 2 and "7 of 8 pictures" in again.reused


@pytest.mark.parametrize("schedule", ["log", "uniform", "importance"])
def test_scorings_evaluations_are_exact(backbone, make_lora, make_set, tmp_path, schedule):
    made = make_set(tmp_path, backbone, {n: make_lora(backbone, 1.0) for n in "ab"})
    config = ElboConfig(evaluations=6, pilot=5, schedule=schedule, batch_size=5)
    pictures = list(torch.rand(2, 3, 32, 32))
    request = AttributeRequest(backbone, made, pictures, ["p", "q"], [""], config)
    plan = planned(survey_attribution(request).price())
    assert plan.total == counted(backbone, attribute(request))


def test_the_price_and_the_run_look_at_the_model_once(
    backbone, groups, quick, make_lora, make_set, tmp_path
):
    unlearning = survey_unlearning(UnlearnRequest(backbone, groups, tmp_path / "set", quick))
    made = make_set(tmp_path / "made", backbone, {"a": make_lora(backbone, 1.0)})
    config, pictures = ElboConfig(evaluations=4), list(torch.rand(2, 3, 32, 32))
    scoring = AttributeRequest(backbone, made, pictures, ["p", "q"], [""], config)
    for work in (unlearning, survey_attribution(scoring)):
        plan, steps, counter = planned(work.price()), [], Counter(backbone.unet)
        result = drain(work.run(), steps.append)
        assert counter.rows == plan.total - plan.evaluations["check"] > 0
        doubts = [w for w in plan.warnings if "does not explain" in w]
        assert doubts and set(doubts) <= set(result.warnings), "it is said by both"


def test_latents_are_planned_at_their_own_size(backbone, make_lora, make_set, tmp_path):
    made = make_set(tmp_path, backbone, {n: make_lora(backbone, 1.0) for n in "ab"})
    c, h, w = backbone.latent_shape

    def plan(*size):
        request = AttributeRequest(
            backbone, made, [], ["p"], [""], ElboConfig(evaluations=4), torch.rand(1, c, *size)
        )
        found = planned(survey_attribution(request).price())
        assert found.total == counted(backbone, attribute(request))
        return found.memory.activations

    assert plan(2 * h, 2 * w) > 2 * plan(h, w)


def test_direct_answers_are_planned_with_all_prompts_of_a_point_at_once(backbone):
    styles = DirectCounterfactuals.named({n: n for n in "abc"})
    config = ElboConfig(evaluations=4, batch_size=64)
    request = AttributeRequest(backbone, styles, [torch.rand(3, 32, 32)], ["p"], [""], config)
    most = []
    backbone.unet.register_forward_hook(lambda *call: most.append(len(call[2].sample)))
    work = survey_attribution(request)
    plan = planned(work.price())
    most.clear()
    drain(work.run())
    assert plan.memory is not None
    assert plan.memory.rows == max(most) == 4 * (3 + 1)


def of_the_right_order(work) -> bool:
    """Whether a plan's time is; of three tries, as others share the processor's caches."""
    for _ in range(3):
        planned_for, started = planned(work().price()).seconds, time.thread_time()
        drain(work().run())
        taken = time.thread_time() - started
        if taken / 3 < planned_for < 3 * taken:
            return True
    return False


def test_the_time_is_of_the_right_order(
    backbone, groups, quick, make_lora, make_set, tmp_path, monkeypatch
):
    """By the time at work, in the warm-up as well, which waiting for others is no part of."""
    monkeypatch.setattr(warmup, "time", SimpleNamespace(perf_counter=time.thread_time))
    tries = itertools.count()
    config = quick.replace(steps=25)

    def unlearning():
        folder = tmp_path / f"set {next(tries) // 2}"
        return survey_unlearning(UnlearnRequest(backbone, groups, folder, config))

    assert of_the_right_order(unlearning)
    made = make_set(tmp_path / "made", backbone, {n: make_lora(backbone, 1.0) for n in "ab"})
    scoring = AttributeRequest(
        backbone, made, list(torch.rand(3, 3, 32, 32)), list("pqr"), [""],
        ElboConfig(evaluations=64),
    )  # fmt: skip
    assert of_the_right_order(lambda: survey_attribution(scoring))


def test_the_disk_is_enough_and_no_more_than_it_takes(backbone, groups, quick, tmp_path):
    request = UnlearnRequest(backbone, groups, tmp_path, quick.replace(rank=16))
    plan = planned(survey_unlearning(request).price())
    most = 0
    for _ in unlearn(request):
        files = [p for p in tmp_path.rglob("*") if p.is_file()]
        most = max(most, sum(p.stat().st_size for p in files))
    assert most <= plan.disk <= 3 * most + (1 << 20)


def test_the_memory_is_that_of_the_job(backbone, groups, quick, tmp_path):
    memory = MemoryConfig(micro_batch=2, checkpointing="on")
    request = UnlearnRequest(backbone, groups, tmp_path, quick, memory=memory)
    found = planned(survey_unlearning(request).price())
    assert found.memory == footprint.training(backbone, quick, 2, checkpointing=True)
    assert found.as_dict()["memory_bytes"] == found.memory.total


def test_planning_leaves_no_trace(backbone, groups, quick, tmp_path):
    before = {k: v.clone() for k, v in backbone.unet.state_dict().items()}
    state = torch.get_rng_state()
    planned(survey_unlearning(UnlearnRequest(backbone, groups, tmp_path, quick)).price())
    assert torch.equal(torch.get_rng_state(), state)
    assert backbone.unet.state_dict().keys() == before.keys()
    assert all(torch.equal(v, before[k]) for k, v in backbone.unet.state_dict().items())
    assert not any(p.requires_grad for p in backbone.unet.parameters())
    assert not list(tmp_path.iterdir())


def test_the_command_line_only_plans(model_folder, groups_folder, tmp_path, capsys):
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(groups_folder)]
    argv += ["--out", str(tmp_path / "set"), "--steps", "6", "--device", "cpu", "--plan"]
    argv += ["--micro-batch", "2", "--checkpointing", "on"]
    assert main(argv) == 0
    told = capsys.readouterr().out
    assert told.startswith("18 optimizer steps; ")
    assert "2 pictures at once and gradient checkpointing" in told and told.count("\n") == 1
    assert main([*argv, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["steps"] == 18 and data["pictures_at_once"] == 2
    assert data["unet_evaluations"]["unlearn"] == 18 * 2 * 16
    assert not (tmp_path / "set").exists()


def test_the_command_line_plans_an_attribution(
    model_folder, backbone, make_lora, make_set, tmp_path, capsys
):
    make_set(tmp_path / "set", backbone, {n: make_lora(backbone, 1.0) for n in "ab"})
    save_png(torch.rand(3, 40, 32), tmp_path / "fox.png")
    argv = ["attribute", "--model", str(model_folder), "--counterfactuals", str(tmp_path / "set")]
    argv += ["--image", str(tmp_path / "fox.png"), "--out", str(tmp_path / "report")]
    assert main([*argv, "--evaluations", "8", "--device", "cpu", "--plan"]) == 0
    assert capsys.readouterr().out.startswith("26 UNet evaluations (2 check, 24 score); about ")
    assert not (tmp_path / "report").exists()


def test_numbers_read_well():
    assert [duration(s) for s in (0.1, 42, 200, 7200)] == ["1 s", "42 s", "3 min", "2.0 h"]
    assert [amount(b) for b in (5, 27_400_000, 1_840_000_000)] == ["1 MB", "27 MB", "1.8 GB"]
