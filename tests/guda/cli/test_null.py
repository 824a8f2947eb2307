"""`null`, and `attribute --null`: from a folder of pictures to a verdict, on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from guda.cli import main
from guda.errors import ConfigError


@pytest.fixture
def asked(tmp_path, model_folder):
    rng = np.random.default_rng(0)
    for name in ("a fox", "a boat", "IMG_0001", "a cup", "a hat"):
        pixels = rng.integers(0, 255, (32, 32, 3), np.uint8)
        (tmp_path / "unrelated").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "unrelated" / f"{name}.png")
    (tmp_path / "styles.txt").write_text("Dots: dots\nwaves\n", "utf-8")
    return ["--model", str(model_folder), "--styles", str(tmp_path / "styles.txt"),
            "--evaluations", "4"]  # fmt: skip


def test_a_folder_becomes_a_pool_that_attribute_takes(asked, tmp_path, capsys):
    images = ["--images", str(tmp_path / "unrelated"), "--out", str(tmp_path)]
    assert main(["null", *asked, *images, "--size", "4", "--prompts", "none", "--plan"]) == 0
    assert "UNet evaluations" in capsys.readouterr().out
    assert not list(tmp_path.glob("null-*.json"))
    assert main(["null", *asked, *images, "--size", "4", "--prompts", "none", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["origin"] == "real" and told["pictures"] == {"none": {"folder": 4}}
    assert main(["null", *asked, *images, "--size", "4", "--prompts", "none"]) == 0
    assert "none (asked with no prompt): 4 of a folder\n" in capsys.readouterr().out
    one = ["--image", str(tmp_path / "unrelated" / "a hat.png"), "--out", str(tmp_path / "out")]
    assert main(["attribute", *asked, *one, "--null", told["file"], "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    image = answer["images"][0]
    assert image["verdict"] == "not enough to tell" and image["outcome"] == "not enough"
    assert image["evidence"]["null_pictures"] == 4
    assert answer["null"]["prompts"]["none"]["sources"] == {"folder": 4}
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "Not enough to tell" in page
    from guda import api  # the same in Python

    model = api.load_model(asked[1], device="cpu")
    shown, styles = [tmp_path / "unrelated" / "a hat.png"], {"Dots": "dots", "waves": "waves"}
    again = api.attribute(model, styles, shown, evaluations=4, null=told["file"])
    assert again.images[0].evidence.p == image["evidence"]["p"]
    with pytest.raises(ConfigError, match="null is a int"):
        api.attribute(model, styles, shown, null=1)
    # A folder in place of the file: the one of the same question is found in it.
    assert main(["attribute", *asked, *one, "--null", str(tmp_path)]) == 0
    assert "Held against 4 pictures that it did not draw (4 of a folder)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "out is missing"),
        (["--out", "x.json", "--like", "there"], "like is there, but there are no images"),
        (["--out", "x.json", "--size", "2"], "size is 2; the least allowed is 4"),
        (["--out", "x.json", "--images", "gone"], "gone"),
        (["--out", "x.json", "--prompts", "all"], "invalid choice: 'all'"),
    ],
)
def test_bad_pools_are_refused_in_one_line(asked, capsys, options, words):
    try:
        code = main(["null", *asked, *options])
    except SystemExit as stop:
        code = stop.code
    told = capsys.readouterr().err
    assert code == 2 and words in told and told.count("\n") == 1


def test_a_pool_of_other_styles_is_refused(asked, tmp_path, capsys):
    images = ["--images", str(tmp_path / "unrelated"), "--out", str(tmp_path / "p.json")]
    assert main(["null", *asked, *images, "--size", "4"]) == 0
    (tmp_path / "styles.txt").write_text("Dots: dots\nink\n", "utf-8")
    one = ["--image", str(tmp_path / "unrelated" / "a hat.png"), "--out", str(tmp_path / "out")]
    assert main(["attribute", *asked, *one, "--null", str(tmp_path / "p.json")]) == 2
    assert "was made with another styles that are compared" in capsys.readouterr().err
