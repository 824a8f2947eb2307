"""The spread between repetitions: measured, planned, and told in set, certificate and report."""

from __future__ import annotations

import json

import pytest
import torch

from guda.config import ElboConfig, UnlearnConfig
from guda.counterfactuals import load_set, unlearn_set
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.counterfactuals.manifest import read_manifest
from guda.diffusion.protocol import LoraWeights
from guda.diffusion.room import Room
from guda.errors import CounterfactualError
from guda.groups.encode import encode_groups
from guda.jobs.attribute import AttributeRequest, attribute
from guda.jobs.unlearn import UnlearnRequest, survey
from guda.report import to_dict, to_html, to_markdown
from guda.scoring.spread import ASSUMED
from guda.steps import drain
from guda.unlearning.batches import Batches
from guda.unlearning.context import anchor_context
from guda.unlearning.probe import Probe
from guda.unlearning.seeds import seed_spread


@pytest.fixture
def probe(backbone, groups, recipe):
    encoded = drain(encode_groups(backbone, groups, recipe.heldout))
    anchors = anchor_context(backbone, groups, groups["dots"], recipe)
    batches = Batches(encoded, anchors, backbone.schedule, recipe)
    return Probe.of(backbone, batches, Room(32, backbone.device))


def spread(backbone, probe, parts: list[LoraWeights]) -> float | None:
    return seed_spread(backbone, probe, parts, 3, Room(32, backbone.device))


def test_it_is_the_ratio_that_it_is_called(backbone, probe, make_lora):
    parts = [make_lora(backbone, 0.2, seed=seed) for seed in range(3)]
    few, own, others = probe.few(8, 8), [], []
    for part in parts:
        with backbone.counterfactual(part):
            a, b = few.deltas(few.answers(backbone, Room(32, backbone.device)))
        own.append(a)
        others.append(b)
    both = [torch.stack(own), torch.stack(others)]
    variance, square = (
        sum(w * float(f(x)) for w, x in zip((1 / 3, 2 / 3), both, strict=True))
        for f in (lambda x: x.var(0).mean(), lambda x: x.mean(0).square().mean())
    )
    told = spread(backbone, probe, parts)
    assert told == pytest.approx((variance / square) ** 0.5, abs=1e-3) and told > 0


def test_repetitions_that_agree_have_none(backbone, probe, make_lora):
    lora = make_lora(backbone, 0.2)
    assert spread(backbone, probe, [lora, lora]) == pytest.approx(0, abs=1e-6)
    assert spread(backbone, probe, [lora]) is None
    still = make_lora(backbone, 0.0)
    assert spread(backbone, probe, [still, still]) is None


@pytest.fixture
def unlearned(backbone, groups, quick, tmp_path):
    """The set in a folder, as made with so many repeats, and told of as passed."""

    def make(repeats: int):
        recipe = quick.replace(steps=2, repeats=repeats)
        request = UnlearnRequest(backbone, groups, tmp_path / str(repeats), recipe, ["dots"])
        rows: list[int] = []
        counter = lambda _, args, out: rows.append(len(out.sample))  # noqa: E731
        plan = drain(survey(request).price()).total
        hook = backbone.unet.register_forward_hook(counter)
        made = drain(survey(request).run())
        hook.remove()
        assert sum(rows) == plan, "the plan counts what the spread takes"
        path = made.folder / "counterfactuals.json"
        told = json.loads(path.read_text("utf-8"))
        told["groups"][0]["gate"] |= {"forget_full": 1.0, "forget_without": 2.0}
        told["groups"][0]["gate"] |= {"retain_full": 1.0, "retain_without": 1.0}
        for share in ("achieved", "drift"):
            told["groups"][0]["certificate"][share]["overall"] = {
                "value": 0.9 if share == "achieved" else 0.0, "low": 0.0, "high": 1.0
            }  # fmt: skip
        path.write_text(json.dumps(told), "utf-8")
        return load_set(made.folder)

    return make


def ask(backbone, without):
    picture = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    request = AttributeRequest(
        backbone, without, [picture], ["a"], ["a"], ElboConfig(evaluations=4)
    )
    return drain(attribute(request))


def test_repeats_measure_it_and_answers_say_so(backbone, unlearned):
    made = unlearned(2)
    (entry,) = made.entries
    measured = entry.certificate.spread
    assert measured > 0 and f"seed spread {measured:.2f}" in entry.certified
    answer = ask(backbone, made)
    told = to_dict(answer)["seed_spread"]
    assert told["repeats"] == 2 and not told["assumed"]
    assert told["shares"]["dots"] == pytest.approx(measured / 2**0.5)
    (score,) = to_dict(answer)["images"][0]["scores"]
    assert score["seed_stderr"] == pytest.approx(told["shares"]["dots"] * abs(score["delta"]))
    assert score["high"] - score["low"] > 2 * 1.95 * score["seed_stderr"]
    for text in (to_html(answer), to_markdown(answer)):
        assert "Measured between the 2 repeats" in text and "assumed" not in text


def test_one_repeat_has_it_assumed_and_a_direct_answer_has_none(backbone, groups, unlearned):
    made = unlearned(1)
    assert made.entries[0].certificate.spread is None
    answer = ask(backbone, made)
    told = to_dict(answer)["seed_spread"]
    assert told["assumed"] and told["shares"] == {"dots": ASSUMED}
    assert "Seed spread assumed" in to_html(answer)
    direct = ask(backbone, DirectCounterfactuals.of(groups))
    assert "seed_spread" not in to_dict(direct) and "another seed" not in to_html(direct)
    assert all("seed_stderr" not in s for s in to_dict(direct)["images"][0]["scores"])


def test_every_style_has_its_own_repeats(backbone, groups, unlearned):
    """Those of the folder's last run are not those of the LoRAs that were there before."""
    first = unlearned(1)
    config = UnlearnConfig(**first.recipe).replace(repeats=2, steps=1)
    drain(unlearn_set(backbone, groups, config, first.folder, ["waves"]))
    both = load_set(first.folder)
    assert both.names == ("dots", "waves") and both.recipe["repeats"] == 2
    measured = both.entries[1].certificate.spread
    assert both.seed_spread.of("dots") == ASSUMED
    assert both.seed_spread.of("waves") == pytest.approx(measured / 2**0.5)


def test_a_garbled_spread_is_refused(unlearned):
    folder = unlearned(1).folder
    path = folder / "counterfactuals.json"
    told = json.loads(path.read_text("utf-8"))
    for bad in (-0.1, "much", True):
        told["groups"][0]["certificate"]["seed_spread"] = bad
        path.write_text(json.dumps(told), "utf-8")
        with pytest.raises(CounterfactualError, match="seed_spread"):
            read_manifest(folder)
