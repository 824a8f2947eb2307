"""Duplicates, near ones and pictures that show nothing are said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from guda import groups as g
from guda.demo import STYLES as DEMO_STYLES
from guda.errors import ImageError
from guda.groups import looks, pictures
from guda.groups.load import HELD_OUT

from .group_folders import picture, styles

DEMO = Path(looks.__file__).parents[1] / "demo" / "styles"


def doubts(root: Path) -> tuple[str, ...]:
    found = g.load_folder(root)
    g.check_pictures(found)
    return found.warnings


def changed(root: Path, name: str, how, ending: str = "png", **options) -> None:
    with Image.open(root / "Ink" / "fox.png") as fox:
        how(fox.convert("RGB")).save(root / "Ink" / f"{name}.{ending}", **options)


def test_different_pictures_are_not_doubted(tmp_path: Path):
    assert doubts(styles(tmp_path)) == ()
    assert doubts(DEMO) == (), "the same things drawn by five designers"
    assert len(DEMO_STYLES) == 5


COPIES = {
    "smaller": lambda fox: fox.resize((24, 20), Image.Resampling.LANCZOS),
    "larger": lambda fox: fox.resize((96, 80), Image.Resampling.BICUBIC),
    "mirrored": ImageOps.mirror,
    "brighter": lambda fox: fox.point(lambda v: min(255, v + 4)),
    "recompressed": lambda fox: fox,
}


@pytest.mark.parametrize("how", COPIES)
def test_near_copies_within_a_style(tmp_path: Path, how: str):
    styles(tmp_path)
    options = {"ending": "jpg", "quality": 60} if how == "recompressed" else {}
    changed(tmp_path, "hen", COPIES[how], **options)
    said = doubts(tmp_path)[0]
    assert said.startswith("Ink has nearly the same picture twice: fox.png and hen")


def test_the_same_picture_twice_and_in_two_styles(tmp_path: Path):
    styles(tmp_path)
    changed(tmp_path, "hen", lambda fox: fox)
    shutil.copy(tmp_path / "Ink" / "owl.png", tmp_path / "Oil" / "bird.png")
    said = doubts(tmp_path)
    assert "Ink has the same picture twice: fox.png and hen.png; keep one of them." in said
    assert any(s.startswith("Ink and Oil share pictures: owl.png and bird.png;") for s in said)
    found = g.load_folder(styles(tmp_path, ["Pen"]))
    g.check_pictures(found)
    assert not found.subset(["Oil", "Pen"]).warnings, "not about styles that were not chosen"


def test_copies_of_held_out_pictures(tmp_path: Path):
    styles(tmp_path)
    (held,) = g.split_heldout(g.load_folder(tmp_path)["Ink"], HELD_OUT)[1]
    for n in range(6):  # enough that not all of the copies are held out as well
        shutil.copy(tmp_path / "Ink" / held.id, tmp_path / "Ink" / f"copy {n}.png")
    said = [s for s in doubts(tmp_path) if "is checked with pictures" in s]
    assert len(said) == 1 and said[0].startswith("Ink is checked")


@pytest.mark.parametrize(
    ("colour", "said"),
    [("black", "is all black"), ("white", "is of one colour"), ((3, 2, 4), "is all black")],
)
def test_pictures_that_show_nothing(tmp_path: Path, colour, said: str):
    styles(tmp_path)
    for name in ("Ink/empty.jpg", "Oil/none.png"):
        Image.new("RGB", (32, 32), colour).save(tmp_path / name)
    assert f"Ink has pictures that show nothing: empty.jpg {said}; remove them." in doubts(tmp_path)
    assert len(doubts(tmp_path)) == 2, "and are no copies of each other"


def test_shapes_tell_pictures_apart(tmp_path: Path):
    styles(tmp_path)
    changed(tmp_path, "hen", lambda fox: fox.resize((80, 40)))
    assert doubts(tmp_path) == ()


def test_every_pair_is_found_once():
    files = [path for folder in sorted(DEMO.iterdir()) for path in sorted(folder.glob("*.jpg"))][:9]
    seen = [looks.look(path) for path in [*files, *files]]
    assert looks.pairs(seen) == [(i, i + 9, True) for i in range(9)]
    assert looks.pairs(seen[:1]) == looks.pairs([]) == []


def test_what_is_read_otherwise_names_the_set_anew(tmp_path: Path):
    """Sets of earlier versions, which had transparency on white, are not taken for such folders."""
    styles(tmp_path)
    before = g.load_folder(tmp_path).manifest_hash
    path = tmp_path / "Ink" / "fox.png"
    with Image.open(path) as fox:
        opaque, clear = fox.convert("RGBA"), fox.convert("RGBA")
    clear.putpixel((0, 0), (1, 2, 3, 4))
    clear.save(path)
    found = g.load_folder(tmp_path)
    assert found.manifest_hash != before
    g.check_pictures(found)
    g.check_pictures(found)
    said = [s for s in found.reading.styles["Ink"].guessed if "transparent" in s]
    assert len(said) == 1 and said[0].startswith("1 picture is transparent")
    opaque.save(path)
    assert not pictures.marks(path)


def test_damage_is_still_refused(tmp_path: Path):
    styles(tmp_path)
    path = picture(tmp_path / "Ink" / "hen.jpg", size=(64, 64))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ImageError, match="whole copy"):
        doubts(tmp_path)
