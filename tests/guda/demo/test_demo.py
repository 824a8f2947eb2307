"""The demo as a user runs it, in processes of its own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from guda.backbone.files.load import DEMO, load
from guda.config import UnlearnConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.demo import NULL, STYLES, groups
from guda.groups import load_folder
from guda.jobs.null import NullRequest, null
from guda.jobs.unlearn import UnlearnRequest, unlearn
from guda.scoring.null import IN_STYLE
from guda.scoring.pool_file import read_pool, write_pool
from guda.scoring.verdict import interval
from guda.steps import drain

EXAMPLE = Path(__file__).parents[3] / "guda" / "demo" / "styles"


@pytest.mark.slow
def test_the_demo_is_right_and_agrees_with_itself(tmp_path: Path, side_by_side):
    """Once from nothing, once on its own LoRAs, each in a process; one LoRA is made again in this
    one, from the same pictures."""
    out = tmp_path / "a"
    command = ["demo", "--json", "--out", str(out)]
    (first,) = map(json.loads, side_by_side([command]))
    leaders = [image["scores"][0]["group"] for image in first["images"]]
    right = sum(leader == style for leader, style in zip(leaders, STYLES, strict=True))
    assert right >= 4, leaders
    made = {p: p.stat().st_mtime_ns for p in (out / "counterfactuals").glob("*.safetensors")}
    (second,) = map(json.loads, side_by_side([command]))
    assert made == {p: p.stat().st_mtime_ns for p in made} and len(made) == len(STYLES)
    for one, two in zip(first["images"], second["images"], strict=True):
        assert [s["group"] for s in one["scores"]] == [s["group"] for s in two["scores"]]
        for a, b in zip(one["scores"], two["scores"], strict=True):
            assert a["delta"] == pytest.approx(b["delta"], abs=1e-4)
    drawn = out / "counterfactuals" / "pictures"
    request = UnlearnRequest(
        load(DEMO), groups(), tmp_path / "b", names=["Fluent Ink"], cache=drawn
    )
    drain(unlearn(request))
    here, there = (
        load_file(folder / "fluent-ink.safetensors")
        for folder in (request.out, out / "counterfactuals")
    )
    assert all(torch.allclose(here[k], there[k], rtol=1e-3, atol=1e-5) for k in here | there)
    assert json.loads((tmp_path / "a" / "attribution.json").read_text("utf-8")) == second
    direct = json.loads((tmp_path / "a" / "direct" / "attribution.json").read_text("utf-8"))
    assert direct["counterfactuals"] == "direct" and first["counterfactuals"] == "unlearned"
    at_once = [image["scores"][0]["group"] for image in direct["images"]]
    assert sum(a == style for a, style in zip(at_once, STYLES, strict=True)) >= 4, at_once
    held = direct["null"]["prompts"]["named"]
    assert held["pictures"] == 200 and held["named_share"] >= 0.2 and "null" not in first
    told = [image["evidence"] for image in direct["images"]]
    assert all(e["null_pictures"] == 200 for e in told) and sum(e["p"] <= 0.1 for e in told) >= 2
    for name in ("report.html", "attribution.csv", "attribution.md"):
        assert (tmp_path / "a" / name).stat().st_size > 500
    sheets = sorted((tmp_path / "a" / "counterfactuals").glob("*.png"))
    assert len(sheets) == len(STYLES) and Image.open(sheets[0]).width > 4 * 128
    assert "with it and without it" in (tmp_path / "a" / "report.html").read_text("utf-8")
    charts = sorted((tmp_path / "a").glob("chart-*.png"))
    assert len(charts) == len(STYLES) and Image.open(charts[0]).width >= 512


def test_the_null_pool_that_comes_with_the_model_is_of_this_model(tmp_path: Path):
    """Two of its pictures are drawn and scored again, and the rest are taken as they are. A last
    bit of a picture, as of another processor, makes other noise, so that scores agree but for the
    sampling error."""
    shipped, backbone = read_pool(NULL), load(DEMO)
    assert shipped.counts()["named"][IN_STYLE] == 50 and len(shipped.null("named")) == 200
    part = tuple(p for p in shipped.pictures if p.id not in ("null 1", "null 2"))
    write_pool(dataclasses.replace(shipped, pictures=part), tmp_path / "null.json")
    contents = [p.prompt.split(", in ")[0] for p in shipped.pictures[:2]]
    styles = DirectCounterfactuals.of(groups())
    asked = NullRequest(backbone, styles, tmp_path / "null.json", 4, ("named",), contents=contents)
    again = {p.id: p for p in drain(null(asked)).pictures}
    assert len(again) == len(shipped.pictures)
    for p in shipped.pictures[:2]:
        assert again[p.id].prompt == p.prompt and again[p.id].source == p.source
        (a, seen, _), (b, told, _) = (interval(x.contributions, 0.95) for x in (again[p.id], p))
        assert a.argmax() == b.argmax() and (abs(a - b) < 5 * np.hypot(seen, told)).all()
        assert again[p.id].full.sum() == pytest.approx(p.full.sum(), rel=0.15)


def test_the_example_folder_is_enough(tmp_path: Path):
    """Its style that is hardest to forget, with the recipe of the template my_styles."""
    example = load_folder(EXAMPLE)
    recipe = UnlearnConfig(caption_dropout=0.25)
    request = UnlearnRequest(load(DEMO), example, tmp_path, recipe, ["EmojiOne"])
    (entry,) = drain(unlearn(request)).entries
    assert entry.gate.passed, entry.gate.reason
