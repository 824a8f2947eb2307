"""The recipe in CONTRIBUTING.md, followed: an operator of one record is planned and run."""

from __future__ import annotations

import dataclasses
import json
import re
import textwrap
from pathlib import Path

import pytest

from guda.cli import main
from guda.config import UnlearnConfig
from guda.counterfactuals import load_set
from guda.errors import ConfigError
from guda.settings import Settings, setting
from guda.unlearning import operators
from guda.variants import ANCHORS, OPERATORS, SCHEDULES, Operator, Table, with_settings_of

from ..cli.said import unlearned

CONTRIBUTING = Path(__file__).parents[3] / "CONTRIBUTING.md"


@pytest.fixture
def halfway(monkeypatch):
    """What the recipe says to write, as if it stood in operators.py."""
    text = CONTRIBUTING.read_text("utf-8").split("## Adding an unlearning operator")[1]
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found
    monkeypatch.setattr(OPERATORS, "_records", dict(OPERATORS))
    exec(textwrap.dedent(found[1]), dict(vars(operators)))
    return OPERATORS["halfway"]


def command(model_folder, groups_folder, out, *more):
    return [
        "unlearn", "--model", str(model_folder), "--groups", str(groups_folder), "--out", str(out),
        "--operator", "halfway", "--style", "dots", "--steps", "2", "--batch-size", "2",
        "--retain-batch-size", "3", "--rank", "2", "--json", *more,
    ]  # fmt: skip


def test_it_is_planned_and_run_from_the_command_line(
    halfway, model_folder, groups_folder, tmp_path, capsys
):
    out = tmp_path / "set"
    assert main(command(model_folder, groups_folder, out, "--plan")) == 0
    assert json.loads(capsys.readouterr().out)["unet_evaluations"]["unlearn"] == 2 * (2 * 5 + 2)
    unlearned(command(model_folder, groups_folder, out))
    assert load_set(out).names == ("dots",)


def test_its_record_says_what_the_settings_choose_from(halfway, capsys):
    assert UnlearnConfig(operator="halfway").operator == "halfway"
    with pytest.raises(SystemExit):
        main(["unlearn", "--help"])
    assert "halfway" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="There is a variant 'halfway' already"):
        OPERATORS.add()(halfway.function)


def test_without_the_recipe_it_is_refused():
    with pytest.raises(ConfigError, match="operator is 'halfway'; choose one of: redirect"):
        UnlearnConfig(operator="halfway")


def test_every_setting_tells_what_its_variants_do():
    helps = {f.name: f.metadata["help"] for f in dataclasses.fields(UnlearnConfig)}
    for name, table in (("operator", OPERATORS), ("anchor", ANCHORS)):
        assert all(f"{v.name}: {v.help}" in helps[name] for v in table.values())
    assert [v.name for v in SCHEDULES.values() if v.needs_pilot] == ["importance"]


def test_a_variants_own_setting_is_the_last_and_renames_nothing(halfway):
    table = Table(Operator, ".unlearning.operators")
    table.add(settings={"margin": setting(0.5, "how far it goes", low=0.0)})(halfway.function)

    @dataclasses.dataclass(frozen=True)
    @with_settings_of(table)
    class Config(Settings):
        steps: int = setting(3, "how long it takes")

    assert [f.name for f in dataclasses.fields(Config)] == ["steps", "margin"]
    assert Config().as_key() == {"steps": 3}
    assert Config(margin=0.25).as_key() == {"steps": 3, "margin": 0.25}  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match=r"margin is -1\.0; the least allowed is 0"):
        Config(margin=-1.0)  # type: ignore[call-arg]
