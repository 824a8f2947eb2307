"""Scores that a bundle tells, computed again: equal, or what differs and by how much."""

from __future__ import annotations

import json

import pytest
import torch

from guda.api import attribute
from guda.backbone.files.load import load
from guda.cli import main
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.evidence import bundle
from guda.evidence.again import survey_again
from guda.evidence.archive import Archive
from guda.evidence.facts import TOLERANCE
from guda.groups.pictures import save_png
from guda.jobs.attribute import AttributeRequest, survey
from guda.steps import drain

from .evidence_sample import contents, rewrite

STYLES = "Dots: dots\nWaves: waves\nStripes: stripes\n"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = torch.Generator().manual_seed(0)
    for i in range(3):
        save_png(torch.rand(3, 40, 32, generator=rng), folder / f"{i}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def direct(pictures, model_folder, tmp_path_factory):
    """By the command line, of the model's own answers."""
    root = tmp_path_factory.mktemp("direct")
    (root / "styles.txt").write_text(STYLES, "utf-8")
    argv = ["evidence", "--model", model_folder, "--styles", root / "styles.txt", "--image"]
    argv += [*pictures, "--prompt", "a shape", "--evaluations", "4", "--out", root / "b.zip"]
    assert main([str(a) for a in argv]) == 0
    return root / "b.zip"


@pytest.fixture
def made_set(model_folder, make_lora, make_set, tmp_path):
    backbone = load(model_folder)
    loras = {n: make_lora(backbone, s) for n, s in (("dots", 0.3), ("waves", 0.0))}
    return make_set(tmp_path / "my set", backbone, loras)


@pytest.fixture
def unlearned(pictures, model_folder, made_set, tmp_path):
    answer = attribute(
        load(model_folder), made_set, pictures[:2], ["a", "b"], evaluations=4, batch_size=3
    )
    return drain(bundle.make(answer, tmp_path / "b.zip")).path


def verified(path, capsys, *argv) -> tuple[int, dict]:
    capsys.readouterr()
    code = main(["verify", str(path), "--json", *map(str, argv)])
    return code, json.loads(capsys.readouterr().out)


def test_direct_scores_come_out_again(direct, model_folder, capsys):
    code, told = verified(direct, capsys, "--model", model_folder, "--sample", 2, "--draw", 7)
    assert code == 0 and told["good"] and told["other"] == []
    assert told["scores"]["compared"] == 2 * 3 and told["scores"]["draw"] == 7
    assert told["scores"]["differ"] == []
    assert main(["verify", str(direct), "--model", str(model_folder)]) == 0
    assert "9 computed again on 3 pictures" in capsys.readouterr().out


def test_scores_of_a_set_come_out_again(unlearned, made_set, model_folder, capsys):
    given = ("--model", model_folder, "--counterfactuals", made_set.folder)
    code, told = verified(unlearned, capsys, *given, "--sample", 0)
    assert code == 0 and told["scores"]["compared"] == 4
    code, told = verified(unlearned, capsys, *given, "--sample", 1)
    assert code == 0 and told["scores"]["compared"] == 1  # one picture, one style


def test_a_score_that_was_forged_with_its_list_is_told(direct, model_folder, tmp_path, capsys):
    files = contents(direct)
    data = json.loads(files["report/attribution.json"])
    score = data["images"][1]["scores"][0]
    score["delta"] += 5.0
    files["report/attribution.json"] = json.dumps(data).encode()
    forged = rewrite(tmp_path / "forged.zip", files, sums=True)
    assert verified(forged, capsys)[0] == 0  # the list alone cannot tell
    code, told = verified(forged, capsys, "--model", model_folder, "--sample", 0)
    (pair,) = told["scores"]["differ"]
    assert code == 1 and (pair["image"], pair["group"]) == ("1.png", score["group"])
    assert pair["told"] - pair["now"] == pytest.approx(5.0)
    assert main(["verify", str(forged), "--model", str(model_folder), "--sample", "0"]) == 1
    assert "differs: 1.png" in capsys.readouterr().out


def test_a_verdict_that_was_forged_is_told(direct, model_folder, tmp_path, capsys):
    files = contents(direct)
    data = json.loads(files["report/attribution.json"])
    was, data["images"][2]["verdict"] = data["images"][2]["verdict"], "Dots, for sure"
    files["report/attribution.json"] = json.dumps(data).encode()
    forged = rewrite(tmp_path / "forged.zip", files, sums=True)
    code, told = verified(forged, capsys, "--model", model_folder, "--sample", 0)
    assert code == 1 and told["scores"]["verdicts"] == [["2.png", "Dots, for sure", was]]
    assert told["scores"]["differ"] == []


def test_the_null_pool_is_in_the_bundle_and_gives_the_verdicts_again(
    pictures, model_folder, tmp_path, capsys
):
    """Pictures of a folder of the user's own, whose names and captions stay there."""
    nothing = tmp_path / "of Anna" / "unrelated"
    for i in range(6):
        rng = torch.Generator().manual_seed(10 + i)
        save_png(torch.rand(3, 32, 32, generator=rng), nothing / f"secret {i}.png")
    (tmp_path / "styles.txt").write_text(STYLES, "utf-8")
    asked = ["--model", model_folder, "--styles", tmp_path / "styles.txt", "--evaluations", "4"]
    pool, made = tmp_path / "pool.json", tmp_path / "b.zip"
    argv = ["null", *asked, "--images", nothing, "--size", "6", "--out", pool]
    assert main([str(a) for a in argv]) == 0
    argv = ["evidence", *asked, "--null", pool, "--image", *pictures, "--prompt", "a shape"]
    assert main([str(a) for a in (*argv, "--out", made)]) == 0
    files = contents(made)
    assert not any(b"secret" in data for data in files.values())
    assert len(json.loads(files["null.json"])["pictures"]) == 6
    assert b"not draw or score them again" in files["index.html"]
    code, told = verified(made, capsys, "--model", model_folder, "--sample", 2)
    assert code == 0 and told["scores"]["verdicts"] == []
    forged = files | {"null.json": files["null.json"].replace(b'"digest": "', b'"digest": "0')}
    path = rewrite(tmp_path / "forged.zip", forged, sums=True)
    assert main(["verify", str(path), "--model", str(model_folder)]) == 2


def test_a_picture_that_was_exchanged_is_told(direct, model_folder, tmp_path, capsys):
    files = contents(direct)
    files["scored/0001.safetensors"] = files["scored/0002.safetensors"]
    forged = rewrite(tmp_path / "forged.zip", files, sums=True)
    code, told = verified(forged, capsys, "--model", model_folder, "--sample", 0)
    assert code == 1 and told["other"] == ["the scored picture '0.png'"]
    assert {p["image"] for p in told["scores"]["differ"]} == {"0.png"}


def test_another_model_is_told(direct, save_model, tmp_path, capsys):
    other = save_model(tmp_path / "other", seed=1)
    code, told = verified(direct, capsys, "--model", other, "--sample", 0)
    assert code == 1 and told["other"][0] == "the model's weights"
    assert len(told["scores"]["differ"]) >= 5  # of 9


def test_another_lora_is_told(unlearned, made_set, model_folder, make_lora, make_set, capsys):
    backbone = load(model_folder)
    loras = {n: make_lora(backbone, 0.3, seed=5) for n in ("dots", "waves")}
    make_set(made_set.folder, backbone, loras)
    given = ("--model", model_folder, "--counterfactuals", made_set.folder)
    code, told = verified(unlearned, capsys, *given)
    assert code == 1 and len(told["other"]) == 2 and len(told["scores"]["differ"]) == 4


def test_a_set_that_is_not_given_is_asked_for(unlearned, model_folder, capsys):
    assert main(["verify", str(unlearned), "--model", str(model_folder)]) == 2
    assert "'my set'; give its folder by --counterfactuals" in capsys.readouterr().err


def test_latents_come_out_again(model_folder, tmp_path):
    backbone = load(model_folder)
    rng = torch.Generator().manual_seed(0)
    latents = torch.randn(2, *backbone.latent_shape, generator=rng)
    without = DirectCounterfactuals.named({"Dots": "dots", "Waves": "waves"})
    request = AttributeRequest(backbone, without, [], ["a", "b"], [""], latents=latents)
    answer = drain(survey(request).run())
    path = drain(bundle.make(answer, tmp_path / "b.zip")).path
    with Archive(path) as opened:
        again = survey_again(opened, backbone, None, 1, 0)
        pairs = drain(again.run()).pairs
    assert again.other == () and len(pairs) == 2
    assert all(p.now == pytest.approx(p.told, abs=1e-4) and not p.differs for p in pairs)


def test_no_sample_can_be_told_beforehand(direct, model_folder):
    backbone = load(model_folder)
    with Archive(direct) as opened:
        drawn = {survey_again(opened, backbone, None, 1, i).sample.pictures for i in range(12)}
    assert len(drawn) == 3


def test_what_may_differ_is_stated_in_the_bundle(direct):
    told = json.loads(contents(direct)["evidence.json"])
    assert told["tolerance"]["of_standard_error"] == TOLERANCE
    assert told["model"]["precision"] == "float32"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("evidence.json", b'"format_version": 1', b'"format_version": 9'),
        ("evidence.json", b'"guda-evidence"', b'"other"'),
        ("evidence.json", b'"evaluations": 4', b'"evaluations": "many"'),
        ("evidence.json", b'"pictures": [', b'"pictures": ["x", '),
        ("report/attribution.json", b'"group": "Dots"', b'"group": "Others"'),
        ("scored/0001.safetensors", b"F32", b"X32"),
    ],
)
def test_a_bundle_that_makes_no_sense_is_refused_in_one_line(
    file, old, new, direct, model_folder, tmp_path, capsys
):
    files = contents(direct)
    assert old in files[file]
    files[file] = files[file].replace(old, new)
    forged = rewrite(tmp_path / "forged.zip", files, sums=True)
    assert main(["verify", str(forged), "--model", str(model_folder), "--sample", "0"]) == 2
    assert capsys.readouterr().err.count("guda: ") == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [(["--sample", "-1"], "sample is -1"), (["--plan"], "model is missing"),
     (["--counterfactuals", "x"], "model is missing")],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(argv, words, direct, capsys):
    assert main(["verify", str(direct), *argv]) == 2
    assert words in capsys.readouterr().err
