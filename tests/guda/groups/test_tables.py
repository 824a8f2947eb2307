"""Captions from sidecars and tables of every kind that people have."""

from __future__ import annotations

from pathlib import Path

import pytest

from guda import groups as g
from guda.errors import GroupsError

from .group_folders import picture, styles, write


def prompts(root: Path, name: str = "Ink") -> dict[str, str]:
    group = g.load_folder(root)[name]
    return {e.id: e.prompt(group.style) for e in group.examples}


@pytest.mark.parametrize("ending", [".txt", ".caption", ".TXT", ".Caption", ".png.txt"])
def test_sidecars(tmp_path: Path, ending: str):
    styles(tmp_path)
    write(tmp_path / "Ink" / f"fox{ending}", "a red fox, ink")
    found = g.load_folder(tmp_path)
    assert prompts(tmp_path)["fox.png"] == "a red fox, ink"
    assert found.reading.styles["Ink"].captions == {
        "names of folders and files": 3,
        "." + ending.lower().split(".")[-1]: 1,
    }


def test_txt_goes_before_caption(tmp_path: Path):
    styles(tmp_path)
    write(tmp_path / "Ink" / "fox.caption", "second, ink")
    write(tmp_path / "Ink" / "fox.txt", "first, ink")
    assert prompts(tmp_path)["fox.png"] == "first, ink"
    assert "1 caption file" in g.load_folder(tmp_path).reading.styles["Ink"].lines_left_out()[0]


@pytest.mark.parametrize("column", ["text", "caption", "prompt", "Text"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv(tmp_path: Path, column: str, separator: str):
    styles(tmp_path)
    rows = [f"file_name{separator}{column}", f'fox.png{separator}"a red fox, ink"', "owl.png"]
    write(tmp_path / "Ink" / "metadata.csv", "\ufeff" + "\r\n".join(rows) + "\r\n\r\n")
    assert prompts(tmp_path)["fox.png"] == "a red fox, ink"
    assert prompts(tmp_path)["owl.png"] == "owl, in ink style"


@pytest.mark.parametrize("place", ["", "train/", "train/Ink/"])
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_tables_above_the_styles(tmp_path: Path, place: str, ending: str):
    styles(tmp_path, ("train/Ink", "train/Oil"))
    name = "train/Ink/fox.png".removeprefix(place)
    text = f"file_name,text\n{name},a red fox" if ending == "csv" else ""
    text = text or f'{{"file_name": "{name}", "caption": "a red fox"}}'
    write(tmp_path / place / f"metadata.{ending}", text)
    assert prompts(tmp_path)["fox.png"] == "a red fox, in ink style"


def test_outer_tables_go_first_and_rows_without_captions_hide_nothing(tmp_path: Path):
    styles(tmp_path)
    write(tmp_path / "metadata.csv", "file_name,text\nInk/fox.png,outer\nInk/owl.png,\n")
    write(tmp_path / "Ink" / "metadata.csv", "file_name,text\nfox.png,inner\nowl.png,inner\n")
    assert prompts(tmp_path)["fox.png"] == "outer, in ink style"
    assert prompts(tmp_path)["owl.png"] == "inner, in ink style"


def test_columns_that_are_not_read_are_said(tmp_path: Path):
    styles(tmp_path)
    write(tmp_path / "Ink" / "metadata.csv", "file_name,text,label,seed\nfox.png,a fox,1,2\n")
    assert g.load_folder(tmp_path).reading.whole.lines_left_out() == [
        "2 columns that are not read (label in Ink/metadata.csv, seed in Ink/metadata.csv)"
    ]


def test_rows_on_pictures_that_are_left_out(tmp_path: Path):
    styles(tmp_path)
    picture(tmp_path / "Ink" / "fox_mask.png")
    picture(tmp_path / "_drafts" / "hen.png")
    write(tmp_path / "Ink" / "metadata.csv", "file_name,text\nfox_mask.png,a mask\n")
    write(tmp_path / "metadata.csv", "file_name,text\n_drafts/hen.png,a hen\n")
    assert prompts(tmp_path)["fox.png"] == "fox, in ink style"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,text\nfox.png,x", "has the columns name, text; its first line names them"),
        ("", "has the columns (none)"),
        ("file_name,text\nfox.png,a fox, in snow", "line 2 has 3 cells, but there are 2 columns"),
        ("file_name,text\nhen.png,a hen", 'line 2: "hen.png" is not a picture that exists'),
        ("file_name,text\n,a hen", 'line 2 has no "file_name"'),
        ("file_name,text\nfox.png,a\nfox.png,b", 'line 3 names "fox.png" again'),
        ("file_name,text\n../Oil/fox.png,a", "leads out of the folder"),
        ("file_name,text\nnotes.md,a", "is not a picture that exists"),
    ],
)
def test_csv_errors(tmp_path: Path, text: str, words: str):
    styles(tmp_path)
    write(tmp_path / "Ink" / "notes.md", "x")
    path = write(tmp_path / "Ink" / "metadata.csv", text)
    with pytest.raises(GroupsError) as caught:
        g.load_folder(tmp_path)
    assert str(path) in str(caught.value) and words in str(caught.value)
