"""The demo as a user runs it: twice from nothing, in processes of their own, side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from guda.backbone.files.load import DEMO, load
from guda.config import UnlearnConfig
from guda.demo import STYLES
from guda.groups import load_folder
from guda.jobs.unlearn import UnlearnRequest, unlearn
from guda.steps import drain

EXAMPLE = Path(__file__).parents[3] / "guda" / "demo" / "styles"


@pytest.mark.slow
def test_the_demo_is_right_and_agrees_with_itself(tmp_path: Path, side_by_side):
    commands = [["demo", "--json", "--out", str(tmp_path / name)] for name in ("a", "b")]
    first, second = map(json.loads, side_by_side(commands))
    leaders = [image["scores"][0]["group"] for image in first["images"]]
    right = sum(leader == style for leader, style in zip(leaders, STYLES, strict=True))
    assert right >= 4, leaders
    for one, two in zip(first["images"], second["images"], strict=True):
        assert [s["group"] for s in one["scores"]] == [s["group"] for s in two["scores"]]
        for a, b in zip(one["scores"], two["scores"], strict=True):
            assert a["delta"] == pytest.approx(b["delta"], abs=1e-4)
    assert json.loads((tmp_path / "a" / "attribution.json").read_text("utf-8")) == first
    direct = json.loads((tmp_path / "a" / "direct" / "attribution.json").read_text("utf-8"))
    assert direct["counterfactuals"] == "direct" and first["counterfactuals"] == "unlearned"
    at_once = [image["scores"][0]["group"] for image in direct["images"]]
    assert sum(a == style for a, style in zip(at_once, STYLES, strict=True)) >= 4, at_once
    for name in ("report.html", "attribution.csv", "attribution.md"):
        assert (tmp_path / "a" / name).stat().st_size > 500
    charts = sorted((tmp_path / "a").glob("chart-*.png"))
    assert len(charts) == len(STYLES) and Image.open(charts[0]).width >= 512


def test_the_example_folder_is_enough(tmp_path: Path):
    """Its style that is hardest to forget, with the recipe of the template my_styles."""
    groups = load_folder(EXAMPLE)
    recipe = UnlearnConfig(caption_dropout=0.25)
    request = UnlearnRequest(load(DEMO), groups, tmp_path, recipe, ["EmojiOne"])
    (entry,) = drain(unlearn(request)).entries
    assert entry.gate.passed, entry.gate.reason
