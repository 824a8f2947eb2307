"""Pictures that are small on disk and large in memory: decoded in bytes, fitted strip by strip."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from guda.errors import ImageError
from guda.groups import load_folder, pictures
from guda.groups.pictures import reading

ROOT = Path(__file__).parents[3]
MODES = ("RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK")


@pytest.mark.parametrize("mode", MODES)
def test_a_large_picture_is_nearly_the_same(mode, tmp_path, monkeypatch):
    y, x = np.mgrid[0:370, 0:501] / 370
    waves = np.stack([np.sin(3 * x + k * y) for k in range(4)], -1) * 100 + 128
    rgba = Image.fromarray(waves.astype(np.uint8))
    if mode == "I;16":
        picture = Image.fromarray((waves[..., 0] * 256).astype(np.uint16))
    else:
        picture = rgba.convert(mode) if mode != "P" else rgba.convert("RGB").quantize(200)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    picture.save(path)
    whole = pictures.load(path, 16)
    monkeypatch.setattr(reading, "LARGE", 1000)
    monkeypatch.setattr(reading, "STRIP", 5000)
    large = pictures.load(path, 16)
    assert large.shape == whole.shape == (3, 16, 16)
    assert (large - whole).abs().mean() < (0.05 if mode == "1" else 0.005)
    assert (large - whole).abs().max() < (0.2 if mode == "1" else 0.03)


CHILD = """
import json, resource, sys
from pathlib import Path
from guda.groups import load_folder, pictures
from guda.groups.pictures import reading
from guda.errors import GudaError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
told = {}
for path in map(Path, sys.argv[1:]):
    try:
        told[path.name] = list(pictures.load(path, 64).shape)
    except GudaError as error:
        told[path.name] = str(error)
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(json.dumps({"told": told, "mb": grown}))
"""


def test_bombs_stay_small(tmp_path):
    """16 KB on disk, 134 million pixels: once 5.5 GB in memory."""
    n = 11_585
    Image.new("1", (n, n)).save(tmp_path / "one.png")
    Image.new("LA", (n, n)).save(tmp_path / "grey.png")
    Image.new("1", (100, 1_342_177)).save(tmp_path / "tall.png")
    Image.new("1", (n + 1, n + 1)).save(tmp_path / "more.png")
    Image.new("RGB", (16_383, 16_383)).save(tmp_path / "canvas.webp", lossless=True)
    files = ["one.png", "grey.png", "tall.png", "more.png", "canvas.webp"]
    run = subprocess.run(
        [sys.executable, "-B", "-W", "ignore", "-c", CHILD, *(str(tmp_path / f) for f in files)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["mb"] < 900, found
    for name in files[:3]:
        assert found["told"][name] == [3, 64, 64]
    for name in files[3:]:
        assert "as a decompression bomb would be" in found["told"][name]


def test_a_check_makes_no_floats(tmp_path, monkeypatch):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    monkeypatch.setattr(reading, "_floats", None)
    pictures.check(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:-30])
    with pytest.raises(ImageError, match="damaged or cut short"):
        pictures.check(tmp_path / "b.png")


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(2**30 + 1)  # sparse
    with pytest.raises(ImageError, match=r"has 1\.1 GB, more than a picture has"):
        pictures.load(path)


def test_what_was_fitted_is_not_changed_again(tmp_path):
    """The command line fits pictures as it reads them, and the pipeline fits again."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (50, 77, 3), np.uint8)).save(tmp_path / "a.png")
    fitted = pictures.load(tmp_path / "a.png", 32)
    assert torch.equal(pictures.fit(fitted, 32), fitted)


def test_folders_that_link_to_each_other_are_read_once(tmp_path):
    """Without a memory of what was read, twenty of them are walked in 20! ways."""
    for style in ("Ink", "Oil"):
        for i in range(20):
            folder = tmp_path / style / f"part {i}"
            folder.mkdir(parents=True)
            Image.new("RGB", (20, 20), (i, i, i)).save(folder / f"{i}.png")
            for j in range(20):
                (folder / f"to {j}").symlink_to(tmp_path / style / f"part {j}")
    (tmp_path / "Ink" / "a link").symlink_to(tmp_path / "Oil")
    found = load_folder(tmp_path)
    assert len(found["Oil"].examples) == 20 and len(found["Ink"].examples) == 40
    assert all("to " not in e.id for e in found["Ink"].examples if not e.id.startswith("a link"))
