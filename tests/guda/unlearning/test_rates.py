"""The learning rate that is found: the search by hand, and that nothing depends on luck."""

from __future__ import annotations

import json

import pytest

from guda.backbone.files.load import load
from guda.counterfactuals import Left, load_set, rate, survey, unlearn_set
from guda.errors import ConfigError
from guda.steps import drain
from guda.unlearning import rates
from guda.unlearning.rates import MOST, NEARLY, Trial, best, further


def tried(**achieved: float | None) -> list[Trial]:
    """By rate, as a1 for 1e-1; drift 0.01 unless it broke down."""
    return [
        Trial(float(f"1e-{k[1:]}"), a, None if a is None else 0.01) for k, a in achieved.items()
    ]


def search(achieved, start: float = 1e-2) -> list[float]:
    """The rates that are tried when `achieved` says how far each goes."""
    done: list[Trial] = []
    while (lr := further(start, done)) is not None:
        assert lr not in [t.lr for t in done]
        done.append(Trial(lr, *achieved(lr)))
    return [t.lr for t in done] + [best(done).lr]


@pytest.mark.parametrize(
    ("goes", "expected"),
    [
        ({1e-2: 0.5, 3e-3: 0.3, 3e-2: 0.2}, [1e-2, 3e-3, 3e-2, 1e-2]),
        ({1e-2: 0.5, 3e-3: 0.5 - NEARLY / 2, 1e-3: 0.2}, [1e-2, 3e-3, 1e-3, 3e-3]),
        ({1e-2: 0.1, 3e-3: 0.0, 3e-2: 0.3, 1e-1: 0.2}, [1e-2, 3e-3, 3e-2, 1e-1, 3e-2]),
        ({1e-2: None, 3e-3: -9.0, 1e-3: 0.4, 3e-4: 0.2}, [1e-2, 3e-3, 1e-3, 3e-4, 1e-3]),
    ],
)
def test_the_search_climbs_until_there_is_a_worse_rate_on_either_side(goes, expected):
    assert search(lambda lr: (goes[lr], None if goes[lr] is None else 0.01)) == expected


def test_the_search_has_an_end():
    rising = search(lambda lr: (10 * lr, 0.0))
    assert rising[:-1] == [1e-2, 3e-3, 3e-2, 1e-1, 3e-1] and len(rising) - 1 == MOST
    assert search(lambda lr: (0.0, 0.0))[:-1] == [1e-2, 3e-3, 1e-3, 3e-4, 1e-4]
    assert max(search(lambda lr: (lr, 0.0), start=0.5)) <= 1
    assert min(search(lambda lr: (-lr, 0.0), start=2e-8)) >= 1e-8


def test_a_rate_by_which_other_styles_suffer_is_worse_than_any_that_keeps_them():
    broken, kept, down = Trial(1e-2, 0.9, 0.2), Trial(1e-3, -5.0, 0.01), Trial(1e-1, None, None)
    assert best([broken, kept, down]) is kept
    assert best([broken, down]) is broken
    assert best([Trial(1e-2, 0.9, 0.2), Trial(1e-3, 0.9, 3.0)]).lr == 1e-2


def test_trials_are_told_and_read():
    done = tried(a2=0.5, a3=None)
    assert rate.read(json.loads(json.dumps(rate.as_dict(done)))) == tuple(done)
    assert [str(t) for t in done] == [
        "lr 0.01: 0.50 of the way, drift 0.010",
        "lr 0.001: training broke down",
    ]
    with pytest.raises(ValueError):
        rate.read({"trials": [{"lr": "x"}]})


@pytest.fixture(scope="module")
def backbone(model_folder):
    return load(model_folder)


@pytest.fixture(scope="module")
def probing(recipe):
    return recipe.replace(lr_probe="auto", steps=3)


def noted(folder):
    return json.loads((folder / rate.FILE).read_text("utf-8"))["trials"]


@pytest.fixture(scope="module")
def probed(backbone, groups, probing, tmp_path_factory):
    """A set whose rate was found, and what was said meanwhile."""
    folder, said = tmp_path_factory.mktemp("probed") / "set", []
    return drain(unlearn_set(backbone, groups, probing, folder, ["waves"]), said.append), said


def test_the_rate_that_is_found_is_used_and_told(backbone, groups, probing, probed, tmp_path):
    made, said = probed
    assert {s.group for s in said if s.stage == "rate"} == {"dots"}, "first by name, not asked for"
    trials = made.trials
    found = best(trials).lr
    assert made.recipe["lr"] == found and made.recipe["lr_probe"] == "never"
    assert 3 <= len(trials) <= MOST and trials[0].lr == probing.lr
    assert load_set(made.folder).trials == trials and len(noted(made.folder)) == len(trials)
    given = drain(
        unlearn_set(
            backbone, groups, probing.replace(lr=found, lr_probe="never"), tmp_path, ["waves"]
        )
    )
    assert made.path(made.entries[0]).read_bytes() == given.path(given.entries[0]).read_bytes()
    assert given.trials == () and not (tmp_path / rate.FILE).exists()


def test_what_was_found_is_found_again(backbone, groups, probing, probed):
    work = survey(backbone, groups, probing, probed[0].folder, ["waves"])
    assert work.left == () and work.trials == probed[0].trials
    more = survey(backbone, groups, probing, probed[0].folder, ["stripes"])
    assert more.config.lr == best(probed[0].trials).lr and more.left[0].done == 0


def test_an_interrupted_search_goes_on(backbone, groups, probing, probed, tmp_path):
    steps = unlearn_set(backbone, groups, probing, tmp_path, ["waves"])
    ends = 0
    for step in steps:
        ends += step.stage == "rate" and step.done == step.total and "way" in step.note
        if ends == 2:
            break
    steps.close()
    assert len(noted(tmp_path)) == 2
    work = survey(backbone, groups, probing, tmp_path, ["waves"])
    assert work.left == (Left(groups["waves"], 0),)
    made = drain(work.run())
    assert made.trials == probed[0].trials
    files = [(m.folder / f).read_bytes() for m in (made, probed[0]) for f in (rate.FILE,)]
    assert files[0] == files[1]
    assert made.path(made.entries[0]).read_bytes() == (
        probed[0].path(probed[0].entries[0]).read_bytes()
    )


@pytest.mark.parametrize("what", ["{", '{"key": "x", "trials": []}', '{"key": 1}', "[]"])
def test_a_file_of_other_trials_is_not_used(backbone, groups, probing, tmp_path, what):
    (tmp_path / rate.FILE).write_text(what, "utf-8")
    work = survey(backbone, groups, probing, tmp_path)
    assert work.trials == () and work.config.lr_probe == "auto"


def test_what_has_no_target_cannot_be_probed(groups, probing, tmp_path):
    from guda.backbone import build

    with pytest.raises(ConfigError, match=r"lr_probe is 'auto'.*give lr"):
        survey(build.digits(0), groups, probing.replace(operator="esd"), tmp_path)


def test_trials_of_long_trainings_are_longer(recipe):
    assert rates.steps(recipe.replace(steps=1500)) == 60
    assert rates.steps(recipe.replace(steps=60)) == 24
    assert rates.steps(recipe.replace(steps=3)) == 3
