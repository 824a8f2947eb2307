"""Folders as trainers, data sets and other programs leave them."""

from __future__ import annotations

from pathlib import Path

import pytest

from guda import groups as g
from guda.errors import GroupsError

from .group_folders import picture, styles, write


def contents(found: g.StyleGroups, name: str) -> list[str]:
    return [e.content for e in found[name].examples]


def left_out(found: g.StyleGroups, name: str = "") -> list[str]:
    remarks = found.reading.styles[name] if name else found.reading.whole
    return remarks.lines_left_out()


# --- where the styles are


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("10_ink", "5_oil painting"), ("ink", "oil painting")),
        (("img/10_ink", "img/20_sks style"), ("ink", "sks style")),
        (("train/Ink", "train/Oil"), ("Ink", "Oil")),
        (("data/train/Ink", "data/train/Oil"), ("Ink", "Oil")),
        (("images/Ink", "images/Oil"), ("Ink", "Oil")),
        (("1970_posters", "Ink"), ("1970_posters", "Ink")),
        (("1000_ink", "2000_oil"), ("ink", "oil")),
        (("data", "Ink"), ("Ink", "data")),
    ],
)
def test_styles_are_found(tmp_path: Path, names: tuple[str, ...], expected: tuple[str, ...]):
    found = g.load_folder(styles(tmp_path, names))
    assert found.names == expected
    assert [e.id for e in found[expected[0]].examples] == [
        "cat.png",
        "dog.png",
        "fox.png",
        "owl.png",
    ]
    assert contents(found, expected[1]) == ["cat", "dog", "fox", "owl"]


def test_the_class_of_kohya_is_not_said_twice(tmp_path: Path):
    found = g.load_folder(styles(tmp_path, ("10_sks style", "10_ohwx style")))
    assert found["sks style"].examples[0].prompt(found["sks style"].style) == "cat, in sks style"


def test_side_folders_of_kohya(tmp_path: Path):
    styles(tmp_path, ("img/10_ink", "img/5_oil", "reg/1_drawing"))
    write(tmp_path / "log" / "events", "x")
    write(tmp_path / "model" / "ink.safetensors", "x")
    found = g.load_folder(tmp_path)
    assert found.names == ("ink", "oil")
    assert left_out(found) == ["3 folders of a trainer (log, model, reg)"]


def test_splits_are_read_together(tmp_path: Path):
    styles(tmp_path, ("train/Ink", "train/Oil", "test/ink", "validation/Oil"))
    found = g.load_folder(tmp_path)
    assert len(found) == 2 and [len(x.examples) for x in found] == [8, 8]
    ids = {e.id for e in found["Oil"].examples}
    assert {"train/fox.png", "validation/fox.png"} <= ids
    assert contents(found, "Oil").count("fox") == 2
    assert any("test, train, validation" in text for text in found.reading.whole.guessed)


def test_repeats_of_one_style_are_read_together(tmp_path: Path):
    found = g.load_folder(styles(tmp_path, ("10_ink", "2_ink", "Oil")))
    assert found.names == ("Oil", "ink") and len(found["ink"].examples) == 8
    assert found["ink"].examples[0].id == "10_ink/cat.png"


def test_splits_without_styles_are_refused(tmp_path: Path):
    styles(tmp_path, ("train", "test"))
    with pytest.raises(GroupsError, match="the splits test and train with pictures of no style"):
        g.load_folder(tmp_path)


def test_groups_json_may_name_folders_as_they_are(tmp_path: Path):
    styles(tmp_path, ("10_ink", "20_oil"))
    write(tmp_path / "groups.json", '{"groups": {"10_ink": {"style": "sumi"}, "oil": {}}}')
    found = g.load_folder(tmp_path)
    assert found.names == ("10_ink", "oil") and found["10_ink"].style == "sumi"


def test_content_folders_named_train(tmp_path: Path):
    """UnlearnCanvas has folders of what is shown; a train is a thing, too."""
    for style in ("Ink", "Oil"):
        styles(tmp_path / style, ("train", "boat"), ("1", "2"))
    found = g.load_folder(tmp_path)
    assert contents(found, "Ink") == ["boat", "boat", "train", "train"]
    assert '"train" is read as what its pictures show' in found.reading.styles["Ink"].guessed[0]


@pytest.mark.parametrize("inner", ["train", "images", "img/raw", "10_ink", "DCIM/100CANON"])
def test_technical_folders_are_no_content(tmp_path: Path, inner: str):
    styles(tmp_path, (f"ink/{inner}", "oil"), ("0001", "0002", "IMG_0003", "fox"))
    found = g.load_folder(tmp_path)
    assert contents(found, "ink") == ["a picture"] * 3 + ["fox"]


def test_links_that_lead_up_are_not_followed(tmp_path: Path):
    styles(tmp_path, ("img/Ink", "img/Oil"))
    (tmp_path / "img" / "img").symlink_to(tmp_path / "img")
    (tmp_path / "data").symlink_to(tmp_path)
    assert g.load_folder(tmp_path).names == ("Ink", "Oil")


# --- what other programs leave


@pytest.mark.parametrize(
    "name",
    ["$RECYCLE.BIN", "lost+found", "System Volume Information", "@eaDir", "#recycle", "__MACOSX",
     ".cache", "thumbnails"],
)  # fmt: skip
def test_system_folders_are_left_out_everywhere(tmp_path: Path, name: str):
    styles(tmp_path)
    picture(tmp_path / name / "fox.png")
    picture(tmp_path / "Ink" / name / "fox.jpg")
    found = g.load_folder(tmp_path)
    assert found.names == ("Ink", "Oil") and len(found["Ink"].examples) == 4
    assert name in left_out(found)[0] and name in left_out(found, "Ink")[0]


@pytest.mark.parametrize("file", ["counterfactuals.json", "attribution.json", "model_index.json"])
def test_reports_sets_and_models_are_left_out(tmp_path: Path, file: str):
    styles(tmp_path)
    for place in (tmp_path / "made", tmp_path / "Ink" / "made"):
        write(place / file, "{}")
        picture(place / "card-1.png")
    found = g.load_folder(tmp_path)
    assert found.names == ("Ink", "Oil") and len(found["Ink"].examples) == 4
    assert "(made)" in left_out(found)[0] and "(made)" in left_out(found, "Ink")[0]


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("fox-masklabel.png", "1 mask (fox-masklabel.png)"),
        ("owl_mask.jpg", "1 mask (owl_mask.jpg)"),
        ("masks/fox.png", "1 mask (masks/fox.png)"),
        ("fox.thumb.jpg", "1 thumbnail (fox.thumb.jpg)"),
        ("fox-150x150.png", "1 thumbnail (fox-150x150.png)"),
        ("fox.psd", "1 file of a picture in another format (fox.psd)"),
        ("fox.json", "1 .json file beside pictures is not read (fox.json)"),
        ("fox.npz", "1 .npz file beside pictures is not read (fox.npz)"),
        ("hen.txt", "1 caption file without a picture (hen.txt)"),
        ("._fox.png", "1 hidden folder or file (._fox.png)"),
    ],
)
def test_what_lies_beside_pictures_is_said(tmp_path: Path, extra: str, said: str):
    styles(tmp_path)
    path = tmp_path / "Ink" / extra
    picture(path) if path.suffix in (".png", ".jpg") else write(path, "x")
    found = g.load_folder(tmp_path)
    assert len(found["Ink"].examples) == 4 and left_out(found, "Ink") == [said]


def test_masks_and_thumbnails_of_nothing_are_pictures(tmp_path: Path):
    styles(tmp_path)
    picture(tmp_path / "Ink" / "the_mask.png")
    picture(tmp_path / "Ink" / "masks" / "venice.png")
    assert {"the mask", "masks"} <= set(contents(g.load_folder(tmp_path), "Ink"))


def test_too_few_because_of_what_was_left_out(tmp_path: Path):
    styles(tmp_path)
    (tmp_path / "Ink" / "owl.png").rename(tmp_path / "Ink" / "fox_mask.png")
    with pytest.raises(GroupsError, match=r"at least 4. Left out: 1 mask \(fox_mask.png\)"):
        g.load_folder(tmp_path)


def test_pictures_of_no_style_are_said(tmp_path: Path):
    styles(tmp_path)
    picture(tmp_path / "cover.png")
    write(tmp_path / "README.md", "mine")
    write(tmp_path / "notes.odt", "mine")
    assert left_out(g.load_folder(tmp_path)) == [
        "1 .odt file is not read (notes.odt)",
        "1 picture outside of the styles' folders (cover.png)",
    ]


# --- pictures by content


@pytest.mark.parametrize("ending", [".jfif", ".jpe", ".pjpeg", "", ".jpg_large", ".heic"])
def test_pictures_are_known_by_content(tmp_path: Path, ending: str):
    styles(tmp_path)
    picture(tmp_path / "hen.jpg").rename(tmp_path / "Ink" / f"hen{ending}")
    found = g.load_folder(tmp_path)
    assert "hen" in contents(found, "Ink")
    g.check_pictures(found)


def test_avif_where_pillow_can(tmp_path: Path):
    styles(tmp_path)
    picture(tmp_path / "Ink" / "hen.avif")
    found = g.load_folder(tmp_path)
    g.check_pictures(found)
    assert len(found["Ink"].examples) == 5


@pytest.mark.parametrize("name", ["hen.HEIC", "hen.cr2", "hen.psd", "hen.jxl"])
def test_formats_that_are_not_read_are_refused(tmp_path: Path, name: str):
    styles(tmp_path)
    (tmp_path / "Ink" / name).write_bytes(b"II*\0 of a raw file")
    if name.endswith("HEIC"):
        (tmp_path / "Ink" / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    with pytest.raises(GroupsError, match=f"{name} is in a format that is not read; convert it"):
        g.load_folder(tmp_path)
