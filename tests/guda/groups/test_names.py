"""What the names of files and folders say, and which say nothing."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from guda.groups.names import UNNAMED, by_tool, content_of_path, unrepeated

CAMERAS = [
    "IMG_2034", "DSC_0012", "_DSC0034", "DSCN1234", "_MG_1234", "P1010001", "IMG_E1234",
    "DJI_0001", "100_1234", "IMG-20230501-WA0003", "PXL_20230501_123456789",
    "MVIMG_20190101_000000", "20230501_123456", "GOPR0042", "FB_IMG_1623456789",
]  # fmt: skip
TOOLS = [
    "3f2a9cde77b0112233445566778899aa", "00012-2039482", "ComfyUI_00001_",
    "ComfyUI_temp_abcde_00001_", "grid-0001", "3f2a9cde-77b0-1122-3344-556677889900",
    "tmpa1b2c3d4", "FqZ3kLmWYAAb1x9", "12345678_p0", "Screenshot 2023-05-01 at 10.00.00",
    "Снимок экрана 2023", "photo_2023-05-01_10-00-00", "Untitled-1",
    "WhatsApp Image 2023-05-01 at 10.00.00 AM", "image (3)", "download", "0001", "a1", "scan0007",
]  # fmt: skip


@pytest.mark.parametrize("stem", CAMERAS + TOOLS)
def test_names_that_tools_give_say_nothing(stem: str):
    assert by_tool(stem)
    assert content_of_path(PurePosixPath(f"{stem}.png")) == UNNAMED


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("red_fox-12", "red fox"),
        ("00012-2039482-a red fox", "a red fox"),
        ("user_a_red_fox_3f2a9cde-77b0-1122-3344-556677889900", "user a red fox"),
        ("DALL·E 2023-01-01 10.00.00 - a red fox", "a red fox"),
        ("IMG_2034_fox", "fox"),
        ("001_red_fox", "red fox"),
        ("b-52 bomber", "b 52 bomber"),
        ("1girl", "1girl"),
        ("decade", "decade"),
        ("portrait of a man", "portrait of a man"),
        ("水彩の猫", "水彩の猫"),
        ("ink_fox", "fox"),
        ("ink_0001", UNNAMED),
        ("van_gogh_12", UNNAMED),
        ("Sea_Horses/2", "Sea Horses"),
        ("Fox/images/1", "Fox"),
        ("images/fox", "fox"),
        ("10_fox/1", "fox"),
        ("10_ink/IMG_0001", UNNAMED),
        ("DCIM/100CANON/IMG_0001", UNNAMED),
        ("2023-05-01/owl", "owl"),
        ("New folder (2)/owl", "owl"),
    ],
)
def test_contents(path: str, content: str):
    relative = PurePosixPath(f"{path}.png")
    assert content_of_path(relative, ("ink", "van gogh"), ("images",)) == content


@pytest.mark.parametrize(
    ("name", "bare"),
    [("10_ink", "ink"), ("5_oil painting", "oil painting"), ("1_3d", "3d"),
     ("80s anime", "80s anime"), ("10_20", "10_20"), ("ink_10", "ink_10"), ("10_", "10_")],
)  # fmt: skip
def test_repeats(name: str, bare: str):
    assert unrepeated(name) == bare
