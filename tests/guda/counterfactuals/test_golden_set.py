"""A set that an earlier version made stays valid: nothing of it is computed again.

tests/fixtures/golden_set/set was made by
    python -m guda unlearn --model demo --groups guda/demo/styles --out ... --style "Fluent Ink"
        --style EmojiOne --steps 40 --rank 1 --caption-dropout 0.25
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from guda.backbone.files.load import DEMO, load
from guda.config import UnlearnConfig
from guda.counterfactuals import load_set, recipe_key
from guda.errors import CounterfactualError
from guda.groups import load_folder
from guda.jobs.unlearn import UnlearnRequest, unlearn
from guda.steps import drain

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "fixtures" / "golden_set" / "set"
STYLES = ROOT / "guda" / "demo" / "styles"
CHOSEN = ("Fluent Ink", "EmojiOne")
RECIPE = UnlearnConfig(
    steps=40, lr=1e-2, rank=1, batch_size=8, retain_batch_size=8, caption_dropout=0.25
)


@pytest.fixture(scope="module")
def demo():
    return load(DEMO)


def test_the_set_is_reused_without_a_step(demo, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(GOLDEN, folder)
    before = {p.name: p.read_bytes() for p in folder.glob("*.safetensors")}
    steps = []
    request = UnlearnRequest(demo, load_folder(STYLES), folder, RECIPE, CHOSEN)
    made = drain(unlearn(request), steps.append)
    assert [(s.stage, s.done, s.total) for s in steps] == [("unlearn", 40, 40)] * 2
    assert {p.name: p.read_bytes() for p in folder.glob("*.safetensors")} == before
    assert made.names == CHOSEN


def test_the_set_loads_and_its_loras_fit_the_model(demo):
    found = load_set(GOLDEN)
    assert found.fingerprint == demo.fingerprint == "1c552fdd7e9d9a2cce1d9654effdb238"
    found.subset(["Fluent Ink"]).verify(demo)
    with pytest.raises(CounterfactualError, match=r"EmojiOne.*failed its gate"):
        found.verify(demo)
    assert all(found.load(entry, demo).layers for entry in found.entries)


KEYS = {
    "default": ({}, "057af163a257aba9ac9925591e4cdcb4"),
    "captions whole": ({"caption_dropout": 0.0}, "e8c3ed584bfefcab8f12c3108a0d993b"),
    "other recipe": (
        {"steps": 300, "modules": "all", "rank": 32, "preserve_weight": 3.0},
        "7ab43c1f3393ea842c3ec1d4719dc860",
    ),
    "repeats": ({"repeats": 3, "seed": 4}, "9ecb9a010d7a739c3e63d37f97f5fcdf"),
    "how often it is saved": ({"checkpoint_every": 7}, "057af163a257aba9ac9925591e4cdcb4"),
}


@pytest.mark.parametrize(("changes", "key"), KEYS.values(), ids=KEYS)
def test_recipe_keys_are_those_of_earlier_versions(changes, key):
    model = SimpleNamespace(
        fingerprint="f" * 32,
        overrides={},
        conditional=True,
        chunks=lambda prompts: [1] * len(prompts),
    )
    groups = load_folder(STYLES)
    assert recipe_key(model, groups, "EmojiOne", replace(UnlearnConfig(), **changes)) == key


def test_the_groups_of_the_folder_have_the_name_of_earlier_versions():
    assert load_folder(STYLES).manifest_hash == "18db718ede3142de685d1493e3159178"
