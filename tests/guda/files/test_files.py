"""Files are whole or absent; names are portable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from guda.errors import SaveError
from guda.files import slugify, write_atomically, write_bytes, write_text

unix = pytest.mark.skipif(os.name == "nt", reason="needs /dev/full or POSIX rights")


def test_writes_and_overwrites(tmp_path: Path):
    path = tmp_path / "a.txt"
    write_text(path, "één\n")
    assert path.read_bytes() == "één\n".encode()
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_is_a_hidden_neighbour_that_no_list_of_models_shows(tmp_path: Path):
    seen = []
    write_atomically(tmp_path / "a.safetensors", lambda t: (seen.append(t), t.touch())[0])
    assert seen[0].parent == tmp_path and seen[0].suffix == ".tmp" and seen[0].name[0] == "."


def test_another_error_passes_through_and_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_disk_full(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text("old")

    def fill(temporary: Path) -> None:
        temporary.symlink_to("/dev/full")
        temporary.write_text("new")

    with pytest.raises(SaveError) as caught:
        write_atomically(path, fill)
    message = str(caught.value)
    assert str(path) in message
    assert "the disk is full: free space and run again; nothing was overwritten" in message
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@unix
@pytest.mark.parametrize(
    "write",
    [
        "write_bytes(path, b'x' * 9000)",
        "write_atomically(path, lambda t: save_file({'a': np.zeros(9000)}, t))",
    ],
)
def test_a_write_that_stops_half_way_leaves_nothing(tmp_path: Path, write: str):
    """A real short write, by Python and by safetensors: the process may write 1000 bytes only."""
    code = f"""
import resource, sys
from pathlib import Path
import numpy as np
from safetensors.numpy import save_file
from guda.errors import SaveError
from guda.files import write_atomically, write_bytes
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    {write}
except SaveError as error:
    sys.stdout.write(str(error))
"""
    path = tmp_path / "big.safetensors"
    command = [sys.executable, "-B", "-c", code, str(path)]
    root = Path(__file__).parents[3]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert str(path) in run.stdout and "(File too large)" in run.stdout
    assert "choose another disk" in run.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda p: p / "file" / "a.txt", "choose another folder"),
        (lambda p: p / "folder.txt", ""),
        (lambda p: p / ("n" * 300), "choose a shorter name"),
    ],
)
def test_messages_name_the_path_and_the_remedy(tmp_path: Path, make, remedy: str):
    (tmp_path / "file").touch()
    (tmp_path / "folder.txt").mkdir()
    path = make(tmp_path)
    with pytest.raises(SaveError) as caught:
        write_text(path, "x")
    assert str(path) in str(caught.value) and remedy in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.txt"]


def test_missing_folders_are_made(tmp_path: Path):
    write_text(tmp_path / "a" / "b" / "c.txt", "x")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "x"


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Noto Blob", "noto-blob"),
        ("A/B", "a-b"),
        ("  Crayon!  ", "crayon"),
        ("Café Ñandú", "cafe-nandu"),
        ("\uff18-bit", "8-bit"),
        ("con", "con-style"),
        ("LPT1", "lpt1-style"),
        ("com10", "com10"),
        ("../../etc/passwd", "etc-passwd"),
    ],
)
def test_slugs(name: str, slug: str):
    assert slugify(name) == slug


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "水彩", "油絵", "🎨", "Ærø", "Ørø", "x" * 300, "-", "\x00"]
)
def test_slugs_are_safe_short_distinct_and_stable(name: str):
    slug = slugify(name)
    assert 0 < len(slug) <= 80
    assert slug.isascii() and slug.replace("-", "").isalnum() and slug == slug.lower()
    assert slugify(slug) == slug == slugify(name)


def test_lost_characters_do_not_collide():
    names = ["水彩", "油絵", "A 🎨", "A 🎭", "Ærø", "Ørø", "x" * 300, "x" * 301, "..", ".", ""]
    assert len({slugify(n) for n in names}) == len(names)
    assert slugify("水彩").startswith("style-")
    assert slugify("カ\u3099") == slugify("ガ"), "the spelling of macOS gives the same name"
