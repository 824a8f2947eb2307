"""Collapse: what the two measures see, and which prompts tell of it."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil

import pytest
import torch
from safetensors import safe_open
from torch.nn import functional as F

from guda.counterfactuals import load_set, sampled
from guda.counterfactuals.certificate import Certificate, Verdict
from guda.counterfactuals.collapse import Collapse, collapse_of, distances, sharpness
from guda.counterfactuals.manifest import read_manifest
from guda.counterfactuals.sampled import Sampled, kept_prompts
from guda.errors import CounterfactualError
from guda.groups import from_prompts, parse_styles
from guda.steps import drain
from guda.unlearning.gate import Gate
from guda.unlearning.progress import BANDS, Measure, Progress, Share

from ..cli.said import unlearned

WELL = Measure(Share(0.9, 0.8, 1.0), dict.fromkeys(BANDS))
KEPT = Measure(Share(0.001, 0.0, 0.002), dict.fromkeys(BANDS))
PASSED = Gate(1.0, 2.0, 1.0, 1.0, 0.0)


@pytest.fixture(scope="module")
def pictures():
    """(8, 3, 64, 64): coarse patterns of their own."""
    rng = torch.Generator().manual_seed(0)
    return F.interpolate(torch.rand(8, 3, 12, 12, generator=rng), 64, mode="bilinear")


def test_untouched_pictures_are_as_sharp_and_as_varied(pictures):
    told = collapse_of(pictures, pictures)
    assert told == Collapse(Share(1.0, 1.0, 1.0), Share(1.0, 1.0, 1.0), 8) and not told.broken


def test_blurred_ones_are_less_sharp(pictures):
    told = collapse_of(pictures, F.avg_pool2d(pictures, 9, 1, 4, count_include_pad=False))
    assert told.broken and told.sharp.high < 0.5 < told.varied.value


def test_noisy_ones_are_too_sharp_and_noise_is_no_variety(pictures):
    rng = torch.Generator().manual_seed(1)
    noisy = pictures.mean(0, keepdim=True) + 0.2 * torch.randn(pictures.shape, generator=rng)
    told = collapse_of(pictures, noisy)
    assert told.broken and told.sharp.low > 2 and told.varied.high < 0.5


def test_one_picture_for_all_prompts_is_no_variety(pictures):
    told = collapse_of(pictures, pictures[:1].expand(8, -1, -1, -1))
    assert told.varied.value == 0 and told.broken and not math.isnan(told.sharp.value)


def test_flat_and_broken_numbers_are_told_as_numbers(pictures):
    flat = torch.zeros_like(pictures)
    assert collapse_of(pictures, flat).broken
    assert collapse_of(pictures, torch.full_like(pictures, math.nan)).broken
    assert collapse_of(flat, pictures).varied is None
    json.dumps(collapse_of(flat, flat).as_dict(), allow_nan=False)


def test_the_measures_are_what_they_are_called():
    ramp = torch.arange(16.0).expand(1, 3, 16, 16) / 16  # no second derivative
    spot = torch.zeros(1, 3, 16, 16)
    spot[..., 8, 8] = 1.0
    laplacian = torch.zeros(14, 14)
    laplacian[7, 7] = -4.0
    laplacian[6, 7] = laplacian[8, 7] = laplacian[7, 6] = laplacian[7, 8] = 1.0
    assert sharpness(ramp).item() == pytest.approx(1e-6, rel=1e-3)
    assert sharpness(spot).item() == pytest.approx(laplacian.var().item(), rel=1e-5)
    two = torch.cat([torch.zeros(1, 3, 32, 32), torch.full((1, 3, 32, 32), 0.5)])
    assert distances(two)[0, 1].item() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("sharp", "broken"),
    [
        (Share(0.4, 0.1, 0.9), True),
        (Share(0.4, 0.1, 1.1), False),  # a few pictures may well be as sharp
        (Share(0.6, 0.5, 0.7), False),
        (Share(2.5, 1.1, 9.0), True),
        (Share(2.5, 0.9, 9.0), False),
    ],
)
def test_it_is_part_of_the_verdict(sharp, broken):
    told = Collapse(sharp, Share(1.0, 0.9, 1.1), 8)
    certificate = Certificate(Progress(WELL, WELL, WELL, KEPT), told)
    assert certificate.verdict is (Verdict.BROKEN if broken else Verdict.CERTIFIED)
    assert f"{sharp.value:.2f} times as sharp and 1.00 times as varied" in certificate.text
    assert ("other styles suffer" in certificate.text) == broken
    kept = json.loads(json.dumps(certificate.as_dict(PASSED)))
    assert Certificate.read(kept) == certificate
    del kept["collapse"]  # as an earlier version wrote it
    assert Certificate.read(kept) == dataclasses.replace(certificate, collapse=None)


@pytest.mark.parametrize("count", [2, 3, 5, 9, 30])
def test_a_group_s_prompts_do_not_depend_on_who_is_left_out(count):
    groups = from_prompts(
        parse_styles("\n".join(f"s{i}" for i in range(count))),
        [f"thing {i}" for i in range(12)],
        pictures=12,
    )
    kept = {name: kept_prompts(groups, name) for name in groups.names}
    seen = {}
    for name, others in kept.items():
        assert name not in others and 2 <= sum(map(len, others.values())) <= 12
        for other, prompts in others.items():
            assert seen.setdefault(other, prompts) == prompts


def test_the_manifest_and_the_lora_hold_it_and_a_bad_one_is_refused(
    model_folder, groups_folder, tmp_path
):
    out = tmp_path / "set"
    argv = ["unlearn", "--model", str(model_folder), "--groups", str(groups_folder)]
    argv += ["--out", str(out), "--style", "dots", "--rank", "2", "--batch-size", "2"]
    unlearned([*argv, "--steps", "1"])
    (entry,) = load_set(out).entries
    assert "times as varied" in entry.certified
    told = entry.certificate.collapse
    with safe_open(out / "dots.safetensors", "pt") as file:
        noted = json.loads(file.metadata()["guda.certificate"])
    assert Collapse.read(noted["collapse"]) == told
    assert told.pictures == sampled.PICTURES and told.sharp.low < 1.1
    shutil.copytree(out, tmp_path / "bad")
    path = tmp_path / "bad" / "counterfactuals.json"
    data = json.loads(path.read_text("utf-8"))
    for broken in ([], {"sharp": None}, {"sharp": {"value": 1.0}, "pictures": True}):
        data["groups"][0]["certificate"]["collapse"] = broken
        path.write_text(json.dumps(data), "utf-8")
        with pytest.raises(CounterfactualError, match="collapse is"):
            read_manifest(tmp_path / "bad")


def test_the_full_model_draws_each_group_once(backbone, groups, make_lora):
    rows, drawn = [], Sampled()
    backbone.unet.register_forward_hook(lambda _, args, out: rows.append(len(out.sample)))
    for name in groups.names:
        told = drain(drawn.collapse(backbone, groups, name, make_lora(backbone, 0.0)))
        assert told.sharp.value == pytest.approx(1, abs=1e-3)
    assert sum(rows) == sampled.evaluations(groups, list(groups.names))
    assert set(drawn.full) == set(groups.names)
