"""Null pools on a tiny model: drawn or read, interrupted, extended, and set against pictures."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch

from guda.config import ElboConfig, SampleConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.errors import ConfigError, CounterfactualError, SaveError
from guda.groups.unrelated import GENERAL, general, of_folder
from guda.jobs import against, basis, wanted
from guda.jobs import null as jobs
from guda.jobs.attribute import AttributeRequest, attribute
from guda.jobs.null import NullRequest, null, survey
from guda.jobs.wanted import Asking, drawn
from guda.scoring.null import FOLDER, FREE, IN_STYLE, OTHER
from guda.scoring.pool_file import pool_digest, read_pool
from guda.scoring.verdict import Outcome
from guda.steps import drain

STYLES = DirectCounterfactuals.named({"Dots": "dots", "Waves": "waves", "Ink": "ink"})
CONFIG = ElboConfig(evaluations=4)
SAMPLING = SampleConfig(steps=1)


@pytest.fixture
def request_(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "CHUNK", 4)
    contents = ("a fox", "a boat", "a cup")
    return NullRequest(
        backbone, STYLES, tmp_path / "null.json", 6, contents=contents, config=CONFIG,
        sampling=SAMPLING,
    )  # fmt: skip


def test_a_pool_that_was_stopped_goes_on_and_is_the_same(request_, tmp_path):
    whole = drain(null(request_))
    assert whole.counts() == {"content": {FREE: 6, IN_STYLE: 2}} and whole.general == ()
    part = dataclasses.replace(request_, out=tmp_path / "part.json")
    steps = null(part)
    while not part.out.exists():
        next(steps)
    steps.close()
    assert 0 < len(read_pool(part.out).pictures) < 8
    again = survey(part)
    plan = drain(again.price())
    assert plan.evaluations["score"] == again.scoring.evaluations * 4 == 4 * 4 * 4
    assert plan.evaluations["pictures"] == 2 * 4 and plan.evaluations["styles"] == 0
    drain(again.run())
    assert (
        pool_digest(read_pool(part.out))
        == pool_digest(whole)
        == pool_digest(read_pool(request_.out))
    )
    assert "already" in str(drain(survey(part).price()))


def test_a_larger_pool_keeps_what_is_there_and_another_form_is_added(request_):
    small = drain(null(request_))
    more = dataclasses.replace(request_, size=8, forms=("content", "named", "none"))
    large = drain(null(more))
    assert large.counts() == {form: {FREE: 8, IN_STYLE: 2} for form in ("content", "named", "none")}
    first = {(p.id, p.form): p for p in large.pictures}
    for p in small.pictures:
        assert (first[p.id, p.form].full == p.full).all()
    prompts = {p.form: p.prompt for p in large.pictures if p.id == "null 2"}
    assert prompts == {"content": "a boat", "named": "a boat, in waves style", "none": ""}
    assert basis.forms(STYLES, list(prompts.values())) == tuple(prompts)
    told = [p.prompt for p in large.in_style("named")]
    assert told == ["a fox, in dots style", "a boat, in waves style"]


def test_the_scores_are_those_of_attribution(request_, groups_folder):
    """The same pictures, asked the same way, have the same deltas in the pool and in an answer."""
    folder = groups_folder / "dots"
    asked = dataclasses.replace(
        request_, images=folder, size=4, like=of_folder(folder.parent / "waves")
    )
    pool = drain(null(asked))
    assert pool.origin == "real" and pool.counts() == {"content": {FOLDER: 4, IN_STYLE: 1}}
    from guda.groups import pictures

    chosen = pool.null("content")
    loaded = [pictures.load(folder / p.id.removeprefix("folder/").split(" ")[0]) for p in chosen]
    answer = drain(
        attribute(
            AttributeRequest(
                request_.backbone, STYLES, loaded, [p.id for p in chosen],
                [p.prompt for p in chosen], CONFIG, null=pool, null_file="null.json",
            )
        )
    )  # fmt: skip
    for image, p in zip(answer.images, chosen, strict=True):
        deltas = dict(zip(pool.basis.styles, p.contributions.sum(1), strict=True))
        for s in image.scores:
            assert s.delta == pytest.approx(deltas[s.group], rel=1e-3, abs=1e-4)
        assert image.outcome is Outcome.UNTOLD and image.verdict == "not enough to tell"
    assert answer.null is not None and answer.null.file == "null.json"
    assert any("a verdict needs 45 at least" in text for text in answer.warnings)


def test_other_contents_are_told_where_pictures_are_there(request_):
    first = drain(null(request_))
    other = dataclasses.replace(request_, contents=("a tree", *request_.contents[1:]))
    texts = []
    kept = drain(null(other), lambda step: texts.append(step.warning))
    assert [p.prompt for p in kept.pictures] == [p.prompt for p in first.pictures]
    said = [t for t in texts if t and "show other contents" in t]
    assert len(said) == 1 and str(request_.out) in said[0]
    assert not any(
        "show other contents" in (s.warning or "") for s in null(dataclasses.replace(request_))
    )


def test_another_folder_with_the_same_file_names_is_another(request_, groups_folder, monkeypatch):
    """Its pictures are not taken for scored already; the same folder's are."""
    asked = dataclasses.replace(request_, images=groups_folder / "dots", size=4)
    other = dataclasses.replace(asked, images=groups_folder / "stripes")
    first, again, both = (drain(null(r)) for r in (asked, asked, other))
    seen = []
    monkeypatch.setattr(wanted, "_seen", lambda one: seen.append(one.id) or "00")
    work = survey(dataclasses.replace(asked, out=asked.out.with_name("once.json")))
    drain(work.price())
    drain(work.run())
    assert len(seen) == 4, "a file is read for its name once"
    assert [p.id for p in first.pictures] == [p.id for p in again.pictures]
    names = [p.id.split(" ")[0] for p in both.pictures]
    assert len(names) == 8 and names[:4] == names[4:]
    assert (both.pictures[0].full != both.pictures[4].full).any()


def test_pictures_that_are_gone_from_the_folder_are_told(request_, groups_folder, tmp_path):
    """They are kept, and the answer is held against them as well."""
    folder = tmp_path / "photos"
    shutil.copytree(groups_folder / "dots", folder)
    asked = dataclasses.replace(request_, images=folder, size=4)
    first = drain(null(asked))
    assert not any("not as they were" in (s.warning or "") for s in null(asked))
    gone = folder / first.pictures[0].id.removeprefix("folder/").rpartition(" ")[0]
    gone.unlink()
    texts = []
    drain(null(asked), lambda step: texts.append(step.warning or ""))
    (said,) = (t for t in texts if "not as they were" in t)
    assert "(1), and they count" in said and str(request_.out) in said and str(folder) in said


def test_styles_that_are_not_tested_take_every_other_place():
    tested = Asking(("ink", "oil"), "{content}, in {style} style")
    some = drawn(tested, ["a fox", "a boat"], ["gouache", "etching"], 6)
    assert [w.source for w in some[:6]] == [FREE, OTHER] * 3
    assert [w.drawn for w in some[:4]] == [
        "a fox", "a fox, in gouache style", "a boat", "a boat, in etching style",
    ]  # fmt: skip
    assert some[1].prompt("content") == some[1].drawn and some[1].prompt("none") == ""
    assert len({w.id for w in some}) == len(some) == 8
    assert drawn(tested, ["a fox", "a boat"], ["gouache", "etching"], 4)[:4] == some[:4]


def test_general_styles_leave_the_tested_ones_out():
    left = general(["oil painting by Rembrandt", "Manga", "ink"])
    assert {"oil painting", "manga", "ink wash"} == set(GENERAL) - set(left)
    assert len(set(GENERAL)) == len(GENERAL) > 40


def test_a_pool_of_another_question_is_refused(request_):
    drain(null(request_))
    other = dataclasses.replace(request_, config=ElboConfig(evaluations=8))
    with pytest.raises(CounterfactualError, match=r"evaluations \(4 then, 8 now\)"):
        survey(other)
    redrawn = dataclasses.replace(request_, sampling=SampleConfig(steps=2))
    with pytest.raises(CounterfactualError, match="way of drawing"):
        survey(redrawn)
    pool = read_pool(request_.out)
    now = basis.of(request_.backbone, STYLES.subset(["Dots", "Ink"]), CONFIG)
    with pytest.raises(CounterfactualError, match="styles that are compared"):
        against.check(pool, "null.json", now)
    assert len({basis.file_of(b, o) for b in (now, pool.basis) for o in ("generated", "real")}) == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 3}, "size is 3"),
        ({"forms": ("short",)}, "prompts is 'short'"),
        ({"config": ElboConfig(schedule="importance")}, "schedule is 'importance'"),
    ],
)
def test_what_makes_no_pool_is_refused(request_, changes, words):
    with pytest.raises(ConfigError, match=words):
        survey(dataclasses.replace(request_, **changes))


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_work(request_, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SaveError, match="the null pool's folder is"):
        survey(dataclasses.replace(request_, out=tmp_path / "file" / "null.json"))


@pytest.mark.parametrize(
    ("pictures", "said"),
    [(44, "below 45 no verdict"), (60, "only beyond all of them"), (150, "beyond all but 3")],
)
def test_a_small_pool_is_told_what_it_costs(pictures, said):
    text = jobs.too_few(pictures, "none")
    assert said in text and f"has {pictures} pictures that were asked with no prompt" in text
    assert jobs.too_few(jobs.SIZE, "none") == ""


def test_the_pool_in_a_set_s_folder_is_found(backbone, make_set, make_lora, tmp_path):
    made = make_set(
        tmp_path / "set",
        backbone,
        {"dots": make_lora(backbone, 0.1), "waves": make_lora(backbone, 0.1, seed=1)},
    )
    assert against.of_set(made, backbone, CONFIG) == (None, "")
    asked = NullRequest(
        backbone, made, made.folder / "null.json", 4, ("none",), config=CONFIG, sampling=SAMPLING
    )
    drain(null(asked))
    pool, name = against.of_set(made, backbone, CONFIG)
    assert pool is not None and name == "null.json" and pool.basis.direct is False
    assert against.of_set(made.subset(["dots"]), backbone, CONFIG)[0] is not None
    assert against.of_set(made, backbone, ElboConfig(evaluations=6)) == (None, "")
    alone = AttributeRequest(
        backbone, made.subset(["dots"]), [torch.rand(3, 32, 32)], ["p"], [""], CONFIG, null=pool
    )
    image = drain(attribute(alone)).images[0]
    assert image.evidence is not None and image.evidence.pool == 4
    encoded = dataclasses.replace(alone, conditions=backbone.encode_prompts(["a fox"]))
    with pytest.raises(CounterfactualError, match="A prompt is empty where a conditioning"):
        drain(attribute(encoded))
