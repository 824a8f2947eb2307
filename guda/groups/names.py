"""What names of files and folders say of a picture, and which of them say nothing."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from .phrases import UNNAMED, without


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SPLITS = words(
    """
    train training trainset test testing testset val valid validation dev eval evaluation holdout
    heldout
    """
)
HOLDERS = words(
    """
    img imgs image images pic pics picture pictures photo photos data dataset datasets raw jpg
    jpeg png webp original originals processed resized cropped crops train_data source
    """
)
"""Folders that only hold pictures, or other folders, and do not say of what."""

_REPEATS = re.compile(r"^\d{1,4}_(?=.*[^\W\d_])")

# Names that cameras, telephones, screens, scanners, chats and generators give, cut into words.
_ALONE = words(
    """
    img imgs image images imagen imag dsc dscn dscf dsci pict pic pics picture pictures photo
    photos foto bild pxl mvimg mvi gopr gopro dji cimg pano untitled unnamed unknown noname
    unbenannt download downloads screenshot screenshots bildschirmfoto comfyui tmp temp thumb
    thumbnail output file files clipboard dcim msdcf 图片 图像 照片 截图 屏幕截图 微信图片
    未命名 画像 写真 スクリーンショット изображение фото
    """
)
_NUMBERED = _ALONE | words(
    """
    mg sam scan scanned frame grid out sample capture snapshot render result generated gemini
    chatgpt dalle dall whatsapp signal telegram snapchat received fb wa win wp vid mov video page
    copy kopie edited edit final version screen shot screencapture fullsizerender burst kif hpim
    imgp p s v e x z no nr at am pm utc new full big large small medium low high res resized
    cropped crop upscaled batch part folder set item seed step steps epoch cfg iter canon apple
    nikon sony fuji olymp andro media jan feb mar apr may jun jul aug sep oct nov dec january
    february march april june july august september october november december
    """
)
_UUID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}(?![0-9a-f])", re.I)
_TOKEN = re.compile(r"[A-Za-z0-9]{8,}")
_COUNTER = re.compile(r"^(?:\d{3,}|0\d+)[-_.](?:\d{4,}[-_.])?(?=.*[^\W\d_])")
_PHRASES = re.compile(
    r"^(?:screen ?shot|capture d.écran|captura de (?:pantalla|tela)|снимок экрана|new folder|"
    r"neuer ordner|sin t[ií]tulo|sans titre|dall.?e|(?:chatgpt|gemini|whatsapp) "
    r"(?:generated )?image|comfyui temp [a-z]{5}|tmp[a-z0-9_]{8})(?![^\W\d_])[\s\d.,:-]*",
    re.IGNORECASE,
)


def spaced(name: str) -> str:
    """A file name as words: underscores, dashes and runs of blanks become one space."""
    return " ".join(re.sub(r"[_-]", " ", name).split())


def nfc(text: str) -> str:
    """One spelling of accented letters: file names come composed or not, by the platform."""
    return unicodedata.normalize("NFC", text)


def unrepeated(name: str) -> str:
    """kohya's `10_ink` (10 repeats of each picture) is "ink"; other names are as they were."""
    return _REPEATS.sub("", name)


def is_holder(name: str) -> bool:
    return name.casefold() in SPLITS | HOLDERS


def content_of_path(
    relative: PurePosixPath, styles: Iterable[str] = (), holders: Iterable[str] = ()
) -> str:
    """`Content/id.jpg` is named by its folder, `red_fox-12.jpg` by its stem ("red fox").

    Folders in `holders`, names that tools give and the names of the style itself say nothing.
    """
    styles, skipped = tuple(styles), frozenset(holders)
    for name in reversed(relative.parts[:-1]):
        if name not in skipped and (content := _said(spaced(unrepeated(name)), name, styles)):
            return content
    stem = _COUNTER.sub("", _legible(relative.stem))
    text = re.sub(r"[\s\d()]+$", "", spaced(_PHRASES.sub("", spaced(stem))))
    return _said(text, relative.stem, styles) or UNNAMED


def _said(text: str, name: str, styles: tuple[str, ...]) -> str:
    if by_tool(name):
        return ""
    for style in styles:
        text = without(text, style)
    return text if re.search(r"[^\W\d_]", text) else ""


def by_tool(name: str) -> bool:
    """Whether a camera or program gave this name: `IMG_2034`, `00012-2039482`, a hash, a date."""
    legible = _PHRASES.sub("", spaced(_legible(name)))
    parts = [w.casefold() for w in re.findall(r"[^\W\d_]+", legible)]
    numbered = any(c.isdigit() for c in name)
    known = _NUMBERED if numbered else _ALONE
    lone = numbered or len(parts) == 1
    return all(w in known or (lone and len(w) == 1 and w.isascii()) for w in parts)


_CAMERA = re.compile(
    r"(?:^|(?<=[ _-]))(?:img|_?dsc[nfi]?|pxl|mvimg|dji|gopr|cimg|imag|pict)[ _-]?\d{3,}(?!\d)", re.I
)


def _legible(name: str) -> str:
    """Without checksums, random marks and cameras' numbers."""
    name = _CAMERA.sub("", name)
    return _TOKEN.sub(lambda m: "" if _random(m[0]) else m[0], _UUID.sub("", name))


def _random(token: str) -> bool:
    digits = sum(c.isdigit() for c in token)
    if digits == len(token):
        return False
    if len(token) >= 10 and digits >= 2 and re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", token):
        return True
    kinds = ["0" if c.isdigit() else "a" if c.islower() else "A" for c in token[1:]]
    changes = sum(a != b for a, b in itertools.pairwise(kinds))
    return digits > 0 and changes >= 4
