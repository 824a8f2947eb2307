"""Certificates: planted failures on the built-in model are told from what works."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from guda.backbone.files.load import DEMO, load
from guda.config import ElboConfig, UnlearnConfig
from guda.counterfactuals import load_set
from guda.counterfactuals.certificate import DRIFT, GOAL, LEAST, Certificate, Verdict
from guda.counterfactuals.collapse import Collapse
from guda.counterfactuals.sampled import Sampled
from guda.diffusion import LoraWeights
from guda.diffusion.noise import generator
from guda.diffusion.room import Room
from guda.errors import CounterfactualError
from guda.groups import load_folder
from guda.groups.encode import encode_groups
from guda.jobs.attribute import AttributeRequest, attribute
from guda.report import html, tables
from guda.steps import drain
from guda.unlearning.batches import Batches
from guda.unlearning.context import anchor_context
from guda.unlearning.gate import Gate
from guda.unlearning.probe import Probe
from guda.unlearning.progress import BANDS, Measure, Progress, Share
from guda.unlearning.train import unlearn_group

STYLES = Path(__file__).parents[3] / "guda" / "demo" / "styles"
RECIPE = UnlearnConfig(steps=12)
"""Enough for the style that is forgotten first."""
PASSED = Gate(1.0, 2.0, 1.0, 1.0, 0.0)


@pytest.fixture(autouse=True)
def drawn_in_few_steps():
    """No: here pictures are looked at."""


class Workshop:
    """The built-in model and its example folder, encoded once."""

    def __init__(self):
        self.model = load(DEMO)
        self.groups = load_folder(STYLES)
        self.encoded = drain(encode_groups(self.model, self.groups, RECIPE.heldout))
        self.probes: dict[str, Probe] = {}
        self.sampled = Sampled()

    def unlearn(self, **changes) -> LoraWeights:
        config = RECIPE.replace(**changes)
        made = drain(unlearn_group(self.model, self.groups, self.encoded, "Fluent", config))
        return made.lora

    def drawn(self, lora: LoraWeights) -> Collapse:
        """What pictures in the other styles tell."""
        told = drain(self.sampled.collapse(self.model, self.groups, "Fluent", lora))
        assert told is not None
        return told

    def noise(self, size: float = 0.5) -> LoraWeights:
        """In every layer."""
        rng = generator("planted noise")
        with self.model.training_lora(modules="all", rank=4, alpha=4.0, seed=0) as lora:
            layers = lora.weights().layers
        return LoraWeights(
            {k: (size * torch.randn(up.shape, generator=rng), d) for k, (up, d) in layers.items()},
            4.0,
        )

    def untouched(self) -> LoraWeights:
        with self.model.training_lora(modules="attention", rank=2, alpha=2.0, seed=0) as lora:
            return lora.weights()

    def certify(self, lora: LoraWeights, style: str = "Fluent") -> Certificate:
        room = Room(32, self.model.device)
        if style not in self.probes:
            anchors = anchor_context(self.model, self.groups, self.groups[style], RECIPE)
            batches = Batches(self.encoded, anchors, self.model.schedule, RECIPE)
            self.probes[style] = Probe.of(self.model, batches, room)
        probe = self.probes[style]
        with self.model.counterfactual(lora):
            return Certificate(probe.progress(probe.answers(self.model, room)))


@pytest.fixture(scope="module")
def workshop():
    return Workshop()


def test_words_that_were_led_elsewhere_are_certified_in_a_few_steps(workshop, good):
    """In closed form most of the way is gone before the first step, and other styles are kept."""
    steps, usual = 4, workshop.certify(good).progress
    some, begun = (workshop.unlearn(steps=steps, start=s) for s in ("zero", "text"))
    assert workshop.certify(some).verdict is Verdict.WEAK
    certificate = workshop.certify(begun)
    assert certificate.verdict is Verdict.CERTIFIED, certificate.text
    assert certificate.progress.drift.overall.value < DRIFT / 10
    assert certificate.progress.achieved.overall.value > usual.achieved.overall.value


@pytest.fixture(scope="module")
def good(workshop):
    return workshop.unlearn()


def test_what_works_is_certified(workshop, good):
    certificate = workshop.certify(good)
    assert certificate.verdict is Verdict.CERTIFIED, certificate.text
    assert certificate.progress.drift.overall.value < DRIFT / 10
    assert 0.4 < certificate.progress.scores.overall.value < 1.2
    assert certificate.text.startswith("certified, went 0.7")
    told = workshop.drawn(good)
    assert 0.9 < told.sharp.value < 1.3 and 0.9 < told.varied.value < 1.1, told


def test_a_lora_of_another_style_is_refused(workshop, good):
    certificate = workshop.certify(good, "Fluent Ink")
    assert certificate.verdict is Verdict.REFUSED, certificate.text
    assert "it forgot nothing" in certificate.text


def test_an_untouched_lora_is_refused(workshop):
    certificate = workshop.certify(workshop.untouched())
    assert certificate.verdict is Verdict.REFUSED
    assert certificate.progress.achieved.overall.value == pytest.approx(0, abs=1e-6)


def test_half_the_steps_are_weak(workshop):
    certificate = workshop.certify(workshop.unlearn(steps=RECIPE.steps // 2))
    assert certificate.verdict is Verdict.WEAK, certificate.text
    assert certificate.progress.scores.overall.value < 0.4
    assert "of its target's, which is too small" in certificate.text


def test_ten_times_the_learning_rate_breaks_the_model(workshop):
    small = {"batch_size": 4, "retain_batch_size": 4, "warmup": 0}
    certificate = workshop.certify(workshop.unlearn(lr=10 * RECIPE.lr, steps=10, **small))
    assert certificate.verdict is Verdict.BROKEN, certificate.text
    assert "other styles suffer" in certificate.text


def test_gradient_ascent_that_preserves_nothing_is_not_taken(workshop):
    small = {"batch_size": 4, "retain_batch_size": 4, "steps": 6, "lr": 0.05, "warmup": 0}
    lora = workshop.unlearn(operator="gradient_ascent", preserve_weight=0.0, **small)
    assert not workshop.certify(lora).usable
    told = workshop.drawn(lora)
    assert told.broken and told.sharp.high < 0.2, told


def test_noise_in_all_layers_breaks_the_model(workshop):
    assert workshop.certify(workshop.noise()).verdict is Verdict.BROKEN
    told = workshop.drawn(workshop.noise(2.0))
    assert told.broken and told.sharp.high < 0.5, told


def measured(value: float, high: float | None = 1.0) -> Measure:
    share = Share(value, None if high is None else 0.0, high)
    return Measure(share, dict.fromkeys(BANDS, share))


@pytest.mark.parametrize(
    ("value", "low", "scores", "words"),
    [
        (0.7, 0.6, 0.7, "its scores are about 70% of its target's"),
        (0.7, -1.5, 0.7, "about 70% of its target's; the pictures held out are too few to be sure"),
        (0.3, 0.2, 0.4, "its scores are about 40% of its target's, which is too small"),
        (0.3, 0.2, 2.2, "its scores are about 220% of its target's, but not by its target's way"),
    ],
)
def test_what_its_words_say_of_its_scores(value, low, scores, words):
    certificate = Certificate(
        Progress(Measure(Share(value, low, 1.0), {}), None, measured(scores), measured(0.0))
    )
    assert certificate.text.endswith(words)


@pytest.mark.parametrize(
    ("achieved", "drift", "verdict"),
    [
        (measured(GOAL), measured(DRIFT), Verdict.CERTIFIED),
        (measured(GOAL - 1e-6), measured(0.0), Verdict.WEAK),
        (measured(LEAST), measured(0.0), Verdict.WEAK),
        (measured(LEAST - 1e-6), measured(0.0), Verdict.REFUSED),
        (measured(-1.0, None), measured(0.0), Verdict.WEAK),
        (measured(1.0), measured(DRIFT + 1e-6), Verdict.BROKEN),
        (None, measured(0.0), Verdict.WEAK),
        (None, measured(1.0), Verdict.BROKEN),
        (Measure(None, dict.fromkeys(BANDS)), measured(0.0), Verdict.WEAK),
    ],
)
def test_the_rule(achieved, drift, verdict):
    certificate = Certificate(Progress(achieved, achieved, achieved, drift))
    assert certificate.verdict is verdict and certificate.text.startswith(f"{verdict.value}, ")
    told = json.loads(json.dumps(certificate.as_dict(PASSED)))
    assert Certificate.read(told) == certificate and told["verdict"] == verdict.value
    failed = certificate.as_dict(dataclasses.replace(PASSED, forget_without=0.5))
    assert failed["verdict"] == ("broken" if verdict is Verdict.BROKEN else "refused")


@pytest.fixture
def made(backbone, make_lora, make_set, tmp_path):
    """Two counterfactuals: what `made(certificate)` says of the first, the second without one."""
    folder = tmp_path / "set"
    make_set(folder, backbone, {"ink": make_lora(backbone, 0.1), "oil": make_lora(backbone, 0.2)})

    def make(certificate: Certificate):
        path = folder / "counterfactuals.json"
        data = json.loads(path.read_text("utf-8"))
        data["groups"][0]["certificate"] = certificate.as_dict(PASSED)
        path.write_text(json.dumps(data), "utf-8")
        return load_set(folder)

    return make


def ask(backbone, made):
    request = AttributeRequest(
        backbone, made, [torch.rand(3, 32, 32)], ["a"], ["a fox"], ElboConfig(evaluations=4)
    )
    return drain(attribute(request))


@pytest.mark.parametrize("value", [0.3, 0.9])
def test_weak_ones_are_attributed_to_with_a_warning(backbone, made, value):
    progress = Progress(measured(value), None, measured(0.25), measured(0.01))
    answer = ask(backbone, made(Certificate(progress)))
    warned = [w for w in answer.warnings if "ink" in w]
    assert bool(warned) == (value < GOAL)
    word = "weak" if value < GOAL else "certified"
    assert all("'ink' is weak, went 0.30" in w and "about 25% of" in w for w in warned)
    told = tables.to_dict(answer)["certificates"]
    assert told["ink"].startswith(f"{word}, went {value:.2f}") and told["oil"] == "no certificate"
    assert f"{word}, went {value:.2f}" in html.to_html(answer)


@pytest.mark.parametrize(
    ("achieved", "drift", "said"),
    [
        (0.9, 0.5, r"'ink' .* is broken, .*a lower lr or a larger preserve_weight"),
        (0.0, 0.0, r"'ink' .* is refused, .*more steps or another lr, or leave the style out"),
    ],
)
def test_broken_and_refused_ones_are_not(backbone, made, achieved, drift, said):
    progress = Progress(measured(achieved), None, measured(0.1), measured(drift))
    found = made(Certificate(progress))
    with pytest.raises(CounterfactualError, match=said):
        ask(backbone, found)
    ask(backbone, found.subset(["oil"]))
