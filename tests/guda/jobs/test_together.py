"""Pictures of one source through the job, and how the report says it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from guda.cli import main
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.groups.pictures import save_png
from guda.jobs.attribute import AttributeRequest, survey
from guda.jobs.together import doubts, of_a_kind, together
from guda.report import source, to_dict, to_html, to_markdown
from guda.scoring.kind import Kind
from guda.scoring.null import IN_STYLE, NullPicture, NullPool
from guda.scoring.source import FEWEST, NullSets, of_source
from guda.scoring.verdict import Outcome
from guda.steps import drain

from ..report.report_sample import GROUPS, sample


def asked(means, n=20, **changes):
    """The sample's report with the pictures taken together; names in it try to break it."""
    rng = np.random.default_rng(0)
    scored = rng.normal(0, 2, (n, len(GROUPS), 4)) + np.asarray(means)[:, None]
    told = dataclasses.replace(of_source(GROUPS, scored, 0.95), **changes)
    return dataclasses.replace(sample(), source=told)


NULL = NullSets(200, 1999, 1999, 1 / 2000)
CASES = {
    "named": (asked([9, 0, 0, 0, 0], null=NULL), "The 20 pictures together lean on"),
    "ranked": (asked([9, 0, 0, 0, 0]), "First of these styles for the 20 pictures together"),
    "undecided": (asked([9, 9, 0, 0, 0]), "Undecided between"),
    "none": (asked([-9] * 5), "None of these, taken together"),
    "chance": (asked([9, 0, 0, 0, 0], null=NullSets(200, 1999, 900, 0.55), outcome=Outcome.NONE),
               "it does not stand out, higher than 900 of 1,999 sets of 20"),
    "another kind": (asked([9, 0, 0, 0, 0], null=NULL, outcome=Outcome.NONE, kind=Kind(10, 0.002)),
                     "in other ways than on 10 in that style (p = 0.002)"),
    "few": (asked([9] * 5, n=9), "Too few pictures"),
    "unlike": (asked([9] * 5, outcome=Outcome.UNLIKE, unlike=15), "so 15 of the 20"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_form_says_it(name):
    answer, words = CASES[name]
    data = to_dict(answer)["source"]
    assert words in data["text"] and json.dumps(data, allow_nan=False)
    assert words in to_markdown(answer) and words in to_html(answer)
    assert (source.LOOKS in to_html(answer)) == bool(answer.source.scores)
    assert (
        "<b>" not in source.to_html(answer) and "&lt;b&gt;" in source.to_html(answer) + "&lt;b&gt;"
    )
    assert data["pictures"] == answer.source.pictures


def test_without_it_nothing_is_said():
    assert "source" not in to_dict(sample()) and "together" not in to_html(sample())


def test_the_job_asks_them_together(backbone):
    rng = torch.Generator().manual_seed(0)
    shown = [torch.rand(3, 32, 32, generator=rng) for _ in range(FEWEST)]
    without = DirectCounterfactuals.named({"Dots": "dots", "Waves": "waves"})
    request = AttributeRequest(backbone, without, shown, list("abcdefghij"), ["a fox"])
    alone = drain(survey(request).run())
    both = drain(survey(dataclasses.replace(request, one_source=True)).run())
    assert alone.source is None and both.images == alone.images
    assert both.source.pictures == FEWEST
    for s in both.source.scores:
        mean = np.mean([image[s.group].delta for image in both.images])
        assert s.delta == pytest.approx(mean)


def test_what_cannot_be_asked_together_is_warned_of():
    (few,) = doubts(None, ["content"] * 9)
    assert "9 pictures" in few and f"{FEWEST} are the fewest" in few
    assert not list(doubts(None, ["content"] * 10))

    class Pool:
        def null(self, form):
            return [None] * 30

    assert not list(doubts(Pool(), ["content"] * 30))
    (mixed,) = doubts(Pool(), ["content"] * 20 + ["none"])
    assert "in several ways" in mixed
    (small,) = doubts(Pool(), ["content"] * 31)
    assert "30 pictures" in small


def test_pictures_that_are_asked_in_several_ways_are_held_against_no_pool():
    answer = dataclasses.replace(sample(), images=sample().images[:1] * 12)
    scored = np.random.default_rng(0).normal(5, 1, (12, len(GROUPS), 4))
    assert together(answer, scored, object(), ["content", "none"] * 6).source.null is None  # type: ignore[arg-type]


@pytest.mark.parametrize("folders", [False, True], ids=["drawn", "read"])
def test_a_name_is_taken_back_where_the_pool_s_own_pictures_are_of_another_kind(folders):
    """Drawn pictures note their style, those that were read lie in a folder of its name."""
    rng, points = np.random.default_rng(0), np.linspace(0, 1, 16)
    phrases = {name: f"style {k}" for k, name in enumerate(GROUPS)}

    def terms(n, shift):
        return np.exp(rng.normal(0, 0.2, (n, 16)) + shift * points)

    def own(i, k, full):
        name = f"{IN_STYLE}/{GROUPS[k]}/{i}.png" if folders else f"in a style {i}"
        style = "" if folders else f"style {k}"
        return NullPicture(name, IN_STYLE, style, "", "content", 0.0, np.zeros((5, 16)), full)

    shown = [own(i, i % 5, full) for i, full in enumerate(terms(50, 0))]
    answer = asked([9, 0, 0, 0, 0], null=NULL)
    leader = answer.source.scores[0].group
    pool = NullPool(None, "generated", tuple(shown))  # type: ignore[arg-type]

    def held(full, forms=("content",) * 20, pool=pool):
        return of_a_kind(answer, full, pool, forms, phrases).source

    other, alike = held(terms(20, 2)), held(terms(20, 0))
    assert other.outcome is Outcome.NONE and other.kind.pictures == 10 and other.kind.p < 1e-6
    assert alike.outcome is Outcome.STYLE and alike.kind.p > 0.01
    assert alike.scores[0].group == leader
    assert held(terms(20, 2), ("content", "none") * 10) == answer.source
    assert held(terms(20, 2), ("named",) * 20) == held(terms(20, 2), pool=None) == answer.source


def test_on_the_command_line(model_folder, tmp_path, capsys):
    rng = torch.Generator().manual_seed(0)
    for i in range(FEWEST):
        save_png(torch.rand(3, 32, 32, generator=rng), tmp_path / f"{i}.png")
    (tmp_path / "styles.txt").write_text("Dots: dots\nWaves: waves\n", "utf-8")
    argv = ["attribute", "--model", model_folder, "--styles", tmp_path / "styles.txt", "--image"]
    argv += [*sorted(tmp_path.glob("*.png")), "--prompt", "a fox", "--evaluations", "4"]
    argv += ["--out", tmp_path / "out", "--one-source"]
    assert main([str(a) for a in argv]) == 0
    assert "## All pictures together" in capsys.readouterr().out
    told = json.loads((tmp_path / "out" / "attribution.json").read_text("utf-8"))
    assert told["source"]["pictures"] == FEWEST and len(told["source"]["scores"]) == 2
