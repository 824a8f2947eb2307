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
from torch import nn

from guda.backbone.files.load import DEMO, load
from guda.backbone.fingerprint import fingerprints
from guda.config import UnlearnConfig
from guda.counterfactuals import load_set, recipe_key, unlearn_set
from guda.errors import CounterfactualError
from guda.groups import load_folder
from guda.jobs.unlearn import UnlearnRequest, unlearn
from guda.steps import drain
from guda.unlearning.gate import Gate

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "fixtures" / "golden_set" / "set"
STYLES = ROOT / "guda" / "demo" / "styles"
CHOSEN = ("Fluent Ink", "EmojiOne")
NAMES = ("1c552fdd7e9d9a2cce1d9654effdb238", "d00f3d26c532d2e70292bc26385680c8")
"""Of the built-in model: with transformers 5, and as version 0.1.0 named it with 4.x."""
PASSED = Gate(1.0, 2.0, 1.0, 1.0, 0.0)
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
    golden = load_set(GOLDEN)
    assert golden.fingerprint == demo.fingerprint == NAMES[0]
    golden.subset(["Fluent Ink"]).verify(demo)
    with pytest.raises(CounterfactualError, match=r"EmojiOne.*failed its gate"):
        golden.verify(demo)
    assert all(golden.load(entry, demo).layers for entry in golden.entries)


@pytest.fixture
def made_elsewhere(model_folder, groups, quick, tmp_path):
    """A set of one style, made where transformers (4.x) names the text encoder's tensors longer."""
    there = load(model_folder)
    there.fingerprint, *there.aliases = reversed((there.fingerprint, *there.aliases))
    folder, brief = tmp_path / "elsewhere", quick.replace(steps=1, gate_margin=0.0)
    drain(unlearn_set(there, groups, brief, folder, ["dots"]))
    return folder, brief, there.fingerprint


def test_a_set_from_another_version_of_transformers_is_reused(backbone, groups, made_elsewhere):
    folder, brief, fingerprint = made_elsewhere
    before = (folder / "dots.safetensors").read_bytes()
    assert load_set(folder).fingerprint == fingerprint != backbone.fingerprint
    steps = []
    made = drain(unlearn_set(backbone, groups, brief, folder, ["dots"]), steps.append)
    assert [(s.stage, s.done, s.total) for s in steps if s.stage != "warning"] == [
        ("unlearn", 1, 1)
    ]
    assert (folder / "dots.safetensors").read_bytes() == before
    assert made.since(backbone) == []


def test_a_style_is_added_to_a_set_from_another_version(backbone, groups, made_elsewhere):
    folder, brief, fingerprint = made_elsewhere
    drain(unlearn_set(backbone, groups, brief, folder, ["waves"]))
    both = load_set(folder)
    assert both.names == ("dots", "waves") and both.fingerprint == fingerprint
    both = replace(both, entries=tuple(replace(e, gate=PASSED) for e in both.entries))
    both.verify(backbone)
    assert all(both.load(entry, backbone).layers for entry in both.entries)


def test_a_model_has_the_same_names_however_its_tensors_are_called(demo):
    """As CLIPTextModel calls them in transformers 5, in 4.x, and beside a second encoder."""
    bare = demo.text_encoder
    wrapped, projected = nn.ModuleDict({"text_model": bare}), nn.ModuleDict({"text_model": bare})
    projected["text_projection"] = nn.Linear(2, 2, bias=False)
    assert fingerprints({"unet": demo.unet, "text_encoder": bare}) == NAMES
    assert fingerprints({"unet": demo.unet, "text_encoder": wrapped}) == NAMES
    several = [
        fingerprints({"text_encoder": nn.ModuleList([first, projected])})
        for first in (bare, wrapped)
    ]
    assert several[0] == several[1] and len(set(several[0])) == 2
    assert len(fingerprints({"text_encoder": projected})) == 1, "every version wraps it"


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
