"""What a run doubts: said once, by whatever way the run was asked for, and kept with its result."""

from __future__ import annotations

import dataclasses
import html
import json

import pytest
import torch

from guda.cli import main
from guda.config import ElboConfig
from guda.counterfactuals import load_set
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.groups.pictures import save_png
from guda.jobs import nothing
from guda.jobs.attribute import AttributeRequest, attribute
from guda.jobs.attribute import survey as survey_attribution
from guda.jobs.unlearn import UnlearnRequest, unlearn
from guda.jobs.unlearn import survey as survey_unlearning
from guda.report import save, to_html, to_markdown
from guda.steps import Heard, Step, about, drain, keeps_warnings, warn

from ..report.report_sample import sample

DOUBT = "The model <b> answers oddly | at 3 of 4 noise levels; load another."


def work():
    yield Step("encode", 1, 2)
    yield warn(DOUBT)
    yield warn(DOUBT)
    yield warn("Another.")
    yield Step("encode", 2, 2)
    return sample()


@pytest.fixture
def doubtful(backbone):
    backbone.warnings = (DOUBT,)
    return backbone


def test_each_is_passed_on_once_and_kept_in_order():
    heard, steps = Heard(), []
    drain(heard(work()), steps.append)
    assert [s.warning for s in steps] == ["", DOUBT, "Another.", ""]
    assert heard.texts == (DOUBT, "Another.")
    assert str(steps[1]) == f"warning: {DOUBT}"
    assert drain(keeps_warnings(work)()).warnings == heard.texts


def test_a_stopped_run_closes_what_it_runs():
    closed = []

    def inner():
        try:
            yield Step("encode", 1, 2)
        finally:
            closed.append(True)

    steps = Heard()(inner())
    next(steps)
    steps.close()
    assert closed == [True]


def test_only_what_carries_warnings_is_asked():
    assert list(about(object(), None)) == []


def test_they_reach_the_set_and_its_scores(doubtful, groups, quick, tmp_path):
    request = UnlearnRequest(doubtful, groups, tmp_path, quick.replace(steps=1), ["dots"])
    assert DOUBT in drain(survey_unlearning(request).price()).as_dict()["warnings"]
    made = drain(unlearn(request))
    assert DOUBT in made.warnings
    doubtful.warnings = ()
    said = []
    assert drain(unlearn(request), said.append).warnings == made.warnings  # nothing left to do
    assert [s.warning for s in said if s.warning] == list(made.warnings)
    found = load_set(tmp_path)
    assert found.warnings == made.warnings
    entry = dataclasses.replace(
        found.entries[0], gate=dataclasses.replace(found.entries[0].gate, forget_without=1e9)
    )
    found = dataclasses.replace(found, entries=(entry,))
    asked = AttributeRequest(
        doubtful, found, [torch.rand(3, 32, 32)], ["p"], [""], ElboConfig(evaluations=4)
    )
    assert DOUBT in drain(survey_attribution(asked).price()).warnings
    assert DOUBT in drain(attribute(asked)).warnings


def test_sets_from_before_have_none(backbone, make_lora, make_set, tmp_path):
    assert make_set(tmp_path, backbone, {"dots": make_lora(backbone, 1.0)}).warnings == ()


@pytest.mark.parametrize(("shade", "told"), [(0.0, "all black"), (0.4, "of one colour"), (2.0, "")])
def test_a_picture_that_shows_nothing_is_told(backbone, make_lora, make_set, tmp_path, shade, told):
    """As safety filters leave them; the ranking of its styles looks like any other."""
    made = make_set(tmp_path, backbone, {"dots": make_lora(backbone, 1.0)})
    rng = torch.Generator().manual_seed(0)
    picture = torch.rand(3, 32, 32, generator=rng) if shade > 1 else torch.full((3, 32, 32), shade)
    request = AttributeRequest(
        backbone, made, [picture], ["fox.png"], ["a fox"], ElboConfig(evaluations=4)
    )
    said = [w for w in drain(attribute(request)).warnings if "shows nothing" in w]
    assert len(said) == bool(told) and all(f"fox.png is {told} and" in w for w in said)


@pytest.mark.parametrize(("side", "told"), [(24, False), (128, False), (16, True)])
def test_a_thumbnail_is_told(backbone, monkeypatch, side, told):
    """A model sees it enlarged, and blur is no style; the tiny model's own side is 32."""
    monkeypatch.setattr(nothing, "ENLARGED", 1.5)
    styles = DirectCounterfactuals.named({"Dots": "dots", "Waves": "waves"})
    picture = torch.rand(3, side, side, generator=torch.Generator().manual_seed(0))
    asked = AttributeRequest(
        backbone, styles, [picture], ["icon.png"], ["a fox"], ElboConfig(evaluations=4)
    )
    said = [w for w in drain(attribute(asked)).warnings if "is enlarged" in w]
    words = "icon.png is 16 x 16 pixels and is enlarged 2 times"
    assert len(said) == told and all(words in w for w in said)


def test_empty_latents_are_told(backbone):
    """One of two; and not as those of a wrong VAE."""
    styles = DirectCounterfactuals.named({"Dots": "dots", "Waves": "waves"})
    latents = torch.zeros(2, *backbone.latent_shape)
    config = ElboConfig(evaluations=4)
    asked = AttributeRequest(backbone, styles, [], ["a", "b"], ["a fox"], config, latents)
    said = " ".join(drain(attribute(asked)).warnings)
    assert "latents of a are empty" in said and "latents of b are empty" in said
    assert "scale of its VAE" not in said
    latents = latents.clone()
    latents[1].normal_(generator=torch.Generator().manual_seed(0))
    said = drain(attribute(dataclasses.replace(asked, latents=latents))).warnings
    assert sum("are empty, as those" in w for w in said) == 1


def test_every_form_of_the_report_has_them(tmp_path):
    plain = sample()
    told = dataclasses.replace(plain, warnings=(DOUBT,))
    assert html.escape(DOUBT) in to_html(told) and "Warning" not in to_html(plain)
    assert "**Warning:** The model \\<b\\> answers oddly \\| at" in to_markdown(told)
    assert "Warning" not in to_markdown(plain)
    saved = save(told, tmp_path / "told")
    assert json.loads(saved.json.read_text("utf-8"))["warnings"] == [DOUBT]
    assert save(plain, tmp_path / "plain").cards[0].read_bytes() != saved.cards[0].read_bytes()


@pytest.mark.parametrize("options", [[], ["--plan"], ["--json"]])
def test_the_command_line_says_them_on_stderr(
    model_folder, make_lora, make_set, backbone, tmp_path, capsys, monkeypatch, options
):
    from guda.backbone.stable_diffusion import StableDiffusion

    monkeypatch.setattr(StableDiffusion, "warnings", (DOUBT,), raising=False)
    made = make_set(tmp_path / "set", backbone, {"dots": make_lora(backbone, 1.0)})
    save_png(torch.rand(3, 32, 32), tmp_path / "p.png")
    argv = ["attribute", "--model", str(model_folder), "--counterfactuals", str(made.folder)]
    argv += ["--image", str(tmp_path / "p.png"), "--out", str(tmp_path / "out")]
    assert main([*argv, "--evaluations", "4", "--device", "cpu", *options]) == 0
    told = capsys.readouterr()
    assert told.err.count(f"guda: warning: {DOUBT}\n") == 1
    if options == ["--json"]:
        assert DOUBT in json.loads(told.out)["warnings"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [({}, 0), ({"rank": 1}, 1), ({"modules": "full"}, 1), ({"operator": "gradient_ascent"}, 1)],
)
def test_a_start_that_has_no_effect_is_told(backbone, groups, quick, tmp_path, changes, told):
    config, steps = quick.replace(start="text", **changes), []
    drain(
        survey_unlearning(UnlearnRequest(backbone, groups, tmp_path, config)).drawn(), steps.append
    )
    assert [s.warning.split(",")[0] for s in steps] == ["start is text"] * told
