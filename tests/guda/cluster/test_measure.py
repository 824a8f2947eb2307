"""Attributions and null pools whose pictures are measured by a cluster: the same bytes as here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from guda.cli import main
from guda.cluster.measure import Clustered
from guda.config import ElboConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.jobs.attribute import AttributeRequest, survey
from guda.steps import drain

from ..cli.said import refused


@pytest.fixture
def argv(model_folder, tmp_path):
    styles = tmp_path / "styles.txt"
    styles.write_text("Dots: dots\nLines: lines\n", "utf-8")
    return ["--model", str(model_folder), "--styles", str(styles), "--device", "cpu"]


def work(backbone, count: int, **config):
    """Pictures of two shapes, of which a call of the model takes some and a half."""
    without = DirectCounterfactuals((("Dots", "dots"), ("Lines", "lines")))
    rng = torch.Generator().manual_seed(0)
    sizes = [(32, 32)] * (count - 1) + [(32, 48)]
    pictures = [torch.rand(3, *s, generator=rng) for s in sizes]
    names = [f"{i}.png" for i in range(count)]
    asked = ElboConfig(evaluations=4, shape="own", **config)
    return survey(AttributeRequest(backbone, without, pictures, names, ["a shape"], asked))


def test_it_answers_as_one_machine_does(client, backbone, source, tmp_path):
    asked = work(backbone, 8, batch_size=18)  # six points at once, four a picture
    shown, gaps = drain(asked.measure(look=False))
    measure = Clustered(client, source, tmp_path / "parts")
    there, made = drain(measure(asked, False))
    for name in ("contributions", "elbo", "full"):
        assert np.array_equal(getattr(gaps, name), getattr(made, name))
    assert all(map(torch.equal, gaps.maps, made.maps)) and all(map(torch.equal, shown, there))
    assert gaps.unet_evaluations == made.unet_evaluations
    assert torch.equal(gaps.points.weight, made.points.weight)
    assert gaps.points.strata == made.points.strata

    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "parts").iterdir()}
    assert len(files) == 3  # six pictures, the seventh, and the one of another shape
    next(iter(files)).unlink()
    again = drain(measure(asked, False))[1]
    assert np.array_equal(again.contributions, gaps.contributions)
    assert sum(p.stat().st_mtime_ns == t for p, t in files.items()) == 2


def test_loras_answer_as_on_one_machine(client, backbone, source, make_lora, make_set, tmp_path):
    """A part and two pictures more; every LoRA is put on once a part."""
    loras = {n: make_lora(backbone, s) for n, s in (("dots", 1.0), ("waves", 0.5))}
    made = make_set(tmp_path / "set", backbone, loras)
    pictures = list(torch.rand(18, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    names, asked = [f"{i}.png" for i in range(18)], ElboConfig(evaluations=4, batch_size=16)
    both = survey(AttributeRequest(backbone, made, pictures, names, ["a shape"], asked))
    gaps = drain(both.measure(look=False))[1]
    there = drain(Clustered(client, source, tmp_path / "parts")(both, False))[1]
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) == 2
    assert np.array_equal(gaps.contributions, there.contributions)
    assert all(map(torch.equal, gaps.maps, there.maps))


def test_commands_tell_the_same_either_way(client, argv, groups_folder, tmp_path, capsys):
    images = sorted(map(str, (groups_folder / "dots").glob("*.png")))[:5]
    where = ["--cluster", client.scheduler.address]
    told = []
    for out, more in (("here", []), ("there", where)):
        command = ["attribute", *argv, "--evaluations", "4", "--image", *images]
        assert main([*command, "--out", str(tmp_path / out), "--json", *more]) == 0
        told.append(json.loads(capsys.readouterr().out))
        assert not (tmp_path / out / "parts").exists()
        command = ["null", *argv, "--evaluations", "4", "--images", str(groups_folder / "waves")]
        pool = tmp_path / out / "null.json"
        assert main([*command, "--size", "4", "--out", str(pool), *more]) == 0
        capsys.readouterr()
    for answer in told:
        del answer["seconds"]
    assert told[0] == told[1]
    pools = [(tmp_path / out / "null.json").read_bytes() for out in ("here", "there")]
    assert pools[0] == pools[1]
    assert sorted(p.name for p in Path(tmp_path, "there").iterdir()) == sorted(
        p.name for p in Path(tmp_path, "here").iterdir()
    )


def test_what_needs_all_pictures_at_once_is_refused(client, argv, groups_folder, tmp_path, capsys):
    image = str(groups_folder / "dots" / "0.png")
    command = ["attribute", *argv, "--image", image, "--schedule", "importance"]
    command += ["--cluster", client.scheduler.address, "--out", str(tmp_path / "out")]
    refused(command, "schedule is 'importance'", capsys)
