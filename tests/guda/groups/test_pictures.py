"""Pictures of every kind come in as RGB between 0 and 1, or are refused by name."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageFile

from guda.errors import ImageError, SaveError
from guda.groups import formats, pictures
from guda.groups.pictures import fit, load, probe, save_png


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)


def saved(path: Path, picture: Image.Image, **options) -> Path:
    picture.save(path, **options)
    return path


def refused(path: Path, *parts: str, size: int | None = None) -> None:
    with pytest.raises(ImageError) as caught:
        load(path, size)
    for part in (str(path), *parts):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.webp"])
def test_lossless_formats_are_exact(tmp_path: Path, rgb: np.ndarray, name: str):
    options = {"lossless": True} if name.endswith("webp") else {}
    out = load(saved(tmp_path / name, Image.fromarray(rgb), **options))
    assert out.shape == (3, 20, 24) and out.dtype == torch.float32
    assert torch.equal(out, torch.from_numpy(rgb).permute(2, 0, 1).float() / 255)


def test_png_round_trip(tmp_path: Path, rgb: np.ndarray):
    first = load(saved(tmp_path / "a.png", Image.fromarray(rgb)))
    save_png(first, tmp_path / "b.png")
    assert torch.equal(load(tmp_path / "b.png"), first)
    save_png(first + 0.4 / 255, tmp_path / "b.png")
    assert torch.equal(load(tmp_path / "b.png")[first < 0.99], first[first < 0.99]), "rounds"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_white_is_white_in_every_mode(tmp_path: Path, mode: str):
    picture = Image.new("RGB", (16, 16), "white").convert(mode)
    name = "a.tif" if mode in ("CMYK", "YCbCr") else "a.png"
    assert torch.equal(load(saved(tmp_path / name, picture)), torch.ones(3, 16, 16))


def test_cmyk_jpeg(tmp_path: Path):
    red = Image.new("RGB", (16, 16), "red").convert("CMYK")
    out = load(saved(tmp_path / "a.jpg", red, quality=100))
    assert torch.allclose(out[:, 8, 8], torch.tensor([1.0, 0, 0]), atol=0.02)


def clear(mode: str) -> Image.Image:
    """Transparent in places, in any of Pillow's ways, over colours that are not all white."""
    rng = np.random.default_rng(0)
    rgba = Image.fromarray(rng.integers(0, 256, (16, 18, 4), dtype=np.uint8), "RGBA")
    if mode == "P":
        palette = rgba.convert("RGB").quantize(16)
        palette.info["transparency"] = 3
        return palette
    if mode in ("L", "RGB"):
        picture = rgba.convert(mode)
        picture.info["transparency"] = picture.getpixel((3, 3))
        return picture
    return rgba.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB"])
@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_transparency_is_that_of_comfyuis_load_image(tmp_path: Path, mode: str, ending: str):
    if ending != "png" and mode != "RGBA":
        mode = "LA" if ending == "tif" else "RGBA"
    options = {"lossless": True, "exact": True} if ending == "webp" else {}
    path = saved(tmp_path / f"a.{ending}", clear(mode), **options)
    with Image.open(path) as picture:
        theirs = np.array(picture.convert("RGB")).astype(np.float32) / 255  # as in its nodes.py
    assert np.array_equal(load(path).permute(1, 2, 0).numpy(), theirs)
    assert pictures.marks(path) == ("transparency",)
    alpha = torch.rand(1, 16, 18)
    tensor = torch.cat([torch.from_numpy(theirs).permute(2, 0, 1), alpha])
    assert torch.equal(pictures.as_rgb(tensor), load(path)), "an IMAGE with four channels"


def test_opaque_pictures_are_not_called_transparent(tmp_path: Path, rgb: np.ndarray):
    path = saved(tmp_path / "a.png", Image.fromarray(rgb).convert("RGBA"))
    assert pictures.marks(path) == ()
    assert torch.equal(load(path), torch.from_numpy(rgb).permute(2, 0, 1).float() / 255)


def wide_gamut() -> bytes:
    """A profile with the primaries of Display P3 and a plain gamma, built by hand."""

    def s15(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))

    xyz = {
        b"wtpt": (0.9642, 1.0, 0.8249),
        b"rXYZ": (0.5151, 0.2412, -0.0011),
        b"gXYZ": (0.2919, 0.6922, 0.0419),
        b"bXYZ": (0.1572, 0.0666, 0.7841),
    }
    tags = {k: b"XYZ \0\0\0\0" + s15(*v) for k, v in xyz.items()}
    gamma = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma)
    text = b"wide\0"
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(79)
    tags[b"cprt"] = b"text\0\0\0\0none\0\0\0\0"
    place, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", place + len(body), len(data))
        body += data
    head = struct.pack(
        ">I4sI4s4s4s", place + len(body), b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + s15(0.9642, 1.0, 0.8249) + bytes(48)
    return head + table + body


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colour_profiles_become_srgb(tmp_path: Path, mode: str):
    pure = Image.new("RGB", (16, 16), (100, 200, 50))
    pure = pure.quantize(2) if mode == "P" else pure.convert(mode)
    path = saved(tmp_path / "a.png", pure, icc_profile=wide_gamut())
    red, green, blue = (load(path)[:, 8, 8] * 255).round().tolist()
    assert red < 70 and 200 <= green <= 206 and blue < 30, "P3's green is beyond that of sRGB"
    assert pictures.marks(path) == ("colour profile",)


@pytest.mark.parametrize("profile", ["sRGB", "broken", "CMYK for RGB"])
def test_profiles_that_change_nothing(tmp_path: Path, rgb: np.ndarray, profile: str):
    data = b"nonsense" * 30
    if profile == "sRGB":
        data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    elif profile == "CMYK for RGB":
        data = wide_gamut().replace(b"RGB ", b"CMYK")
    path = saved(tmp_path / "a.png", Image.fromarray(rgb), icc_profile=data)
    assert torch.equal(load(path), torch.from_numpy(rgb).permute(2, 0, 1).float() / 255)
    assert pictures.marks(path) == ()


def test_a_profile_for_colours_in_a_grey_picture(tmp_path: Path):
    path = saved(tmp_path / "a.png", Image.new("L", (16, 16), 90), icc_profile=wide_gamut())
    assert torch.allclose(load(path), torch.tensor(90 / 255))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_grey_is_scaled(tmp_path: Path, name: str):
    values = np.linspace(0, 65535, 256).reshape(16, 16).astype(np.uint16)
    out = load(saved(tmp_path / name, Image.fromarray(values)))
    expected = torch.from_numpy(values.astype(np.float32)) / 65535
    assert torch.allclose(out, expected.expand(3, -1, -1), atol=1e-6)


def test_32_bit_grey_is_scaled(tmp_path: Path):
    values = np.full((16, 16), 32768, np.int32)
    out = load(saved(tmp_path / "a.tif", Image.fromarray(values)))
    assert torch.allclose(out, torch.tensor(32768 / 65535))


def test_16_bit_grey_with_a_transparent_value(tmp_path: Path):
    path = saved(tmp_path / "a.png", Image.fromarray(np.full((16, 16), 1000, np.uint16)))
    data = path.read_bytes()
    chunk = b"tRNS" + struct.pack(">H", 1000)
    chunk = struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(data[:33] + chunk + data[33:])
    assert torch.allclose(load(path), torch.tensor(1000 / 65535), atol=1e-6)


def test_exif_orientation(tmp_path: Path, rgb: np.ndarray):
    exif = Image.Exif()
    exif[0x0112] = 6
    out = load(saved(tmp_path / "a.png", Image.fromarray(rgb), exif=exif))
    turned = np.rot90(rgb, k=-1).copy()
    assert torch.equal(out, torch.from_numpy(turned).permute(2, 0, 1).float() / 255)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_an_animation_gives_its_first_frame(tmp_path: Path, name: str):
    frames = [Image.new("RGB", (16, 16), c) for c in ("red", "blue")]
    options = {"lossless": True} if name.endswith("webp") else {}
    path = saved(tmp_path / name, frames[0], save_all=True, append_images=frames[1:], **options)
    assert load(path)[:, 8, 8].tolist() == [1, 0, 0]


def test_missing_folder_empty_and_foreign_files(tmp_path: Path):
    refused(tmp_path / "none.png", "was not found", "check the name")
    refused(tmp_path, "is a folder", "give a picture")
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "is empty (0 bytes)", "give a PNG")
    (tmp_path / "text.png").write_text("hello " * 100)
    refused(tmp_path / "text.png", "not a picture", "give a PNG")
    (tmp_path / "script.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n")
    refused(tmp_path / "script.png", "not a picture", "give a PNG")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif", "a.bmp", "a.tif"])
@pytest.mark.parametrize("allowed_elsewhere", [False, True])
def test_truncated(tmp_path: Path, monkeypatch, name: str, allowed_elsewhere: bool):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = saved(tmp_path / name, Image.fromarray(noise)).read_bytes()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", allowed_elsewhere)
    for share in (0.3, 0.9):
        (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ImageError) as caught:
            load(tmp_path / name)
        assert name in str(caught.value)
        assert "replace it" in str(caught.value) or "give a PNG" in str(caught.value)
    assert allowed_elsewhere is ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_truncated_picture_is_called_so(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path / "cut.jpg", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[:-500])
    refused(path, "damaged or cut short", "replace it with a whole copy")
    assert probe(path) == (64, 64), "the header is sane"


def test_a_flipped_byte_is_found(tmp_path: Path, rgb: np.ndarray):
    path = saved(tmp_path / "a.png", Image.fromarray(rgb))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    refused(path, "replace it with a whole copy")


def test_too_small(tmp_path: Path):
    refused(saved(tmp_path / "a.png", Image.new("RGB", (1, 1))), "is 1x1 pixels", "16x16")
    refused(saved(tmp_path / "b.png", Image.new("RGB", (400, 15))), "is 400x15 pixels", "16x16")


@pytest.mark.parametrize(("w", "h"), [(60_000, 60_000), (12_000, 12_000)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [Image.MAX_IMAGE_PIXELS, None])
def test_decompression_bomb(tmp_path: Path, monkeypatch, w: int, h: int, limit: int | None):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    path = saved(tmp_path / "a.png", Image.new("RGB", (16, 16)))
    data = path.read_bytes()
    head = b"IHDR" + struct.pack(">II", w, h) + data[24:29]
    path.write_bytes(data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:])
    refused(path, "decompression bomb", "scale it down")


def test_float_tiff_is_refused(tmp_path: Path):
    path = saved(tmp_path / "a.tif", Image.fromarray(np.zeros((16, 16), np.float32)))
    refused(path, "32-bit floats", "save it as")


def test_fit_agrees_with_pillow(tmp_path: Path):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    path = saved(tmp_path / "a.png", coarse.resize((120, 90)))
    scaled = Image.open(path).resize((64, 48), Image.Resampling.LANCZOS).crop((8, 0, 56, 48))
    ours = load(path, 48)
    assert ours.shape == (3, 48, 48)
    theirs = torch.from_numpy(np.array(scaled)).permute(2, 0, 1) / 255
    assert (ours - theirs).abs().max() < 1.5 / 255
    assert torch.equal(ours, fit(load(path), 48)), "one function for files and tensors"


def test_fit_keeps_a_picture_of_the_right_size_and_takes_batches():
    batch = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fit(batch, 32), batch)
    assert fit(batch, 20).shape == (2, 3, 20, 20)
    assert torch.equal(fit(batch, 20)[1], fit(batch[1], 20)), "no effect of the batch"
    assert fit(torch.ones(3, 16, 5000), 32).shape == (3, 32, 32)
    assert torch.equal(fit(batch.double(), 32), batch)


def test_fit_cuts_the_centre_and_clamps():
    wide = torch.zeros(3, 16, 48)
    wide[:, :, 16:32] = 1
    assert torch.equal(fit(wide, 16), torch.ones(3, 16, 16))
    assert fit(torch.full((3, 16, 16), 1.5), 16).max() == 1
    edge = (torch.arange(48) > 23).float().expand(3, 48, 48)
    out = fit(edge.clone(), 31)
    assert out.min() >= 0 and out.max() <= 1, "Lanczos rings"


def test_fit_channels():
    grey = torch.full((1, 16, 16), 0.25)
    assert torch.equal(fit(grey, 16), torch.full((3, 16, 16), 0.25))
    clear = torch.cat([torch.zeros(3, 16, 16), torch.full((1, 16, 16), 0.25)])
    assert torch.equal(fit(clear, 16), torch.zeros(3, 16, 16)), "opacity is dropped"


@pytest.mark.parametrize(
    ("image", "part"),
    [
        (torch.rand(3, 15, 40), "is 40x15 pixels; give one of at least 16x16"),
        (torch.full((3, 16, 16), torch.nan), "not finite"),
        (torch.full((3, 16, 16), torch.inf), "check the node or model"),
        (torch.zeros(16, 16), "give (channels, height, width)"),
        (torch.zeros(2, 16, 16, 3), "give (channels, height, width)"),
        (torch.zeros(3, 16, 16, dtype=torch.uint8), "give floats between 0 and 1"),
    ],
)
def test_fit_refuses(image: torch.Tensor, part: str):
    with pytest.raises(ImageError) as caught:
        fit(image, 16)
    assert part in str(caught.value)


def test_fit_leaves_its_input_alone():
    image = torch.full((3, 16, 16), 2.0)
    fit(image, 16)
    assert image.min() == 2


def test_save_png_errors(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(SaveError) as caught:
        save_png(torch.zeros(3, 16, 16), tmp_path / "file" / "a.png")
    assert "file" in str(caught.value) and "choose another folder" in str(caught.value)
    with pytest.raises(ImageError, match="not finite"):
        save_png(torch.full((3, 16, 16), torch.nan), tmp_path / "a.png")
    with pytest.raises(ImageError, match="not one picture"):
        save_png(torch.zeros(2, 3, 16, 16), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_the_list_of_formats_is_known_to_pillow():
    Image.init()
    assert set(formats.FORMATS) <= set(formats.decoders()) <= set(Image.OPEN)
