"""A folder that has everything at once: its owner is told what was read, guessed and left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from guda import groups as g
from guda.cli import main
from guda.groups import telling

from .group_folders import picture, styles, write


def everything(root: Path) -> Path:
    """kohya's `img` with `10_name`s, and a bit of all that people and programs leave there."""
    ink, gogh = root / "img" / "10_ink", root / "img" / "5_van_gogh"
    styles(root / "img", ("10_ink", "5_van_gogh"), ("fox", "owl", "IMG_2034", "00012-2039482"))
    styles(root / "img" / "3_oil painting", ("train", "images"), ("0001", "0002"))
    picture(root / "img" / "3_oil painting" / "hen.jpg").rename(
        root / "img" / "3_oil painting" / "hen.jfif"
    )
    styles(root, ("reg/1_drawing",))
    for name in ("$RECYCLE.BIN", "_drafts", "img/@eaDir"):
        picture(root / name / "fox.png")
    write(root / "log" / "events.out", "x")
    write(root / "report" / "attribution.json", "{}")
    picture(root / "report" / "card-1.png")
    picture(root / "cover.png")
    write(ink / "fox.txt", "a fox, ink")
    write(ink / "owl.caption", "an owl on a branch at night")
    write(gogh / "fox.txt", "1girl, solo, van_gogh, starry_sky")
    write(gogh / "owl.txt", "a field by Van Gogh's hand")
    write(
        root / "img" / "metadata.csv", "file_name,text,label\n10_ink/IMG_2034.png,a well in ink,3\n"
    )
    for stem in ("fox", "owl", "IMG_2034"):
        write(ink / f"{stem}.json", "{}")
    picture(ink / "fox-masklabel.png")
    picture(ink / ".thumbs" / "fox.png")
    shutil.copy(ink / "owl.png", ink / "owl2.png")
    shutil.copy(ink / "fox.png", gogh / "reynard.png")
    shutil.copy(ink / "fox.png", ink / "fox_again.png")
    with Image.open(ink / "owl.png") as owl:
        owl.resize((96, 80)).save(ink / "big.jpg", quality=70)
    Image.new("RGB", (32, 32)).save(gogh / "empty.png")
    Image.new("RGBA", (32, 32), (200, 60, 20, 90)).save(gogh / "clear.png")
    return root


def test_everything_is_told(tmp_path: Path, capsys):
    assert main(["groups", str(everything(tmp_path))]) == 0
    assert capsys.readouterr().out.splitlines() == EXPECTED.splitlines()


def test_json(tmp_path: Path, capsys):
    assert main(["groups", str(everything(tmp_path)), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [s["name"] for s in told["styles"]] == ["ink", "oil painting", "van_gogh"]
    assert told == telling.to_dict(_checked(tmp_path))


def _checked(root: Path) -> g.StyleGroups:
    found = g.load_folder(root)
    g.check_pictures(found)
    return found


def test_unlearn_tells_the_same_before_it_begins(tmp_path: Path, capsys):
    argv = ["unlearn", "--groups", str(everything(tmp_path / "styles")), "--plan"]
    assert main([*argv, "--model", "demo", "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().err.splitlines()
    short = telling.to_text(_checked(tmp_path / "styles"), short=True).splitlines()
    assert lines[: len(short)] == short and sum("prompt:" in line for line in short) == 3
    assert all(line.startswith("guda: warning: ") for line in lines[len(short) :])


@pytest.mark.parametrize("argv", [["nowhere"], ["--json", "nowhere"]])
def test_groups_of_nothing(capsys, argv: list[str]):
    assert main(["groups", *argv]) == 2
    assert "nowhere was not found; give a folder" in capsys.readouterr().err


EXPECTED = """\
ink: 7 pictures, prompts say "ink"; captions: 3 from names of folders and files, 1 from nothing
    ("a picture"), 1 from metadata.csv, 1 from .txt, 1 from .caption
  prompt: "a picture, in ink style"
  prompt: "a well in ink"
  prompt: "big, in ink style"
  left out: 3 .json files beside pictures are not read (IMG_2034.json, fox.json, owl.json)
  left out: 1 hidden folder or file (.thumbs)
  left out: 1 mask (fox-masklabel.png)
  guessed: 1 caption does not name the style; "..., in ink style" is made of them
oil painting: 5 pictures, prompts say "oil painting"; captions: 4 from nothing ("a picture"), 1
    from names of folders and files
  prompt: "hen, in oil painting style"
  prompt: "a picture, in oil painting style"
van_gogh: 7 pictures, prompts say "van gogh"; captions: 3 from names of folders and files, 2
    from nothing ("a picture"), 2 from .txt
  prompt: "a picture, in van gogh style"
  prompt: "clear, in van gogh style"
  prompt: "1girl, solo, van gogh, starry_sky"
  guessed: captions that say "van_gogh" mean the style; prompts say "van gogh"
  guessed: 1 picture is transparent in places, where the stored colours count, as in Load Image
left out: 1 column that is not read (label in img/metadata.csv)
left out: 2 folders of a trainer (log, reg)
left out: 1 folder set aside by "_" (_drafts)
left out: 1 picture outside of the styles' folders (cover.png)
left out: 1 report of GUDA (report)
left out: 2 system folders ($RECYCLE.BIN, img/@eaDir)
guessed: the styles are the folders in img, read together
guessed: the numbers before names are kohya's repeats: img/10_ink is "ink", img/3_oil painting
    is "oil painting", img/5_van_gogh is "van_gogh"
warning: van_gogh has pictures that show nothing: clear.png is of one colour, empty.png is all
    black; remove them.
warning: ink has nearly the same picture twice: big.jpg and owl.png, big.jpg and owl2.png; keep
    one of them.
warning: ink has the same picture twice: fox.png and fox_again.png, owl.png and owl2.png; keep
    one of them.
warning: ink is checked with pictures that it is also trained on, so that the check proves less:
    there are copies of fox.png; keep one of each.
warning: ink and van_gogh share pictures: fox.png and reynard.png, fox_again.png and
    reynard.png; keep each in one style, as no style can be unlearned while another holds on to
    it.
"""
