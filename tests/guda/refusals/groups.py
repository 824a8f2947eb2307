"""Bad style groups: folders, captions, groups.json, tables, lists of styles and contents."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from .bench import Bench, Case

DEEP = "[" * 99_999


def _folder(b: Bench, change: Callable[[Path], Any]) -> list[str]:
    folder = b.copy("groups")
    change(folder)
    return b.unlearn(groups=folder)


def _text(name: str, content: str | bytes) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(data)

    return change


def _pipe(name: str) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return change


def _alone(change: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Captions beside the pictures count where no table has them."""
    return lambda folder: [(folder / "dots/metadata.jsonl").unlink(), change(folder)]


def _rename(old: str, new: str | bytes) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        os.rename(os.fsencode(folder / old), os.fsencode(folder) + b"/" + os.fsencode(new))

    return change


def _only(count: int) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        for path in [*(folder / "dots").iterdir()]:
            if path.suffix != ".png" or int(path.stem) >= count:
                path.unlink()

    return change


JSON: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is not valid JSON"),
    "list": ("[]", "groups.json"),
    "null": ("null", "groups.json"),
    "cut": ('{"groups": {', "is not valid JSON"),
    "nested": (DEEP, "more than 64 deep"),
    "nested 100": ("[" * 100 + "]" * 100, "more than 64 deep"),
    "twice": ('{"groups": {}, "groups": {}}', "'groups' stands twice"),
    "nan": ('{"groups": NaN}', "NaN is no number"),
    "infinity": ('{"groups": 1e999}', "too large a number"),
    "digits": ("9" * 5000, "too large a number"),
    "half": (r'{"template": "\ud800 {style} {content}"}', "half of a character"),
    "utf-16": ("{}".encode("utf-16"), "is not UTF-8 text"),
    "zero": (b"{}\0", "zero byte"),
    "large": (" " * (5 << 20), "larger than 4 MiB"),
    "unknown key": ('{"styles": {}}', '"styles", which is not known'),
    "unknown group": ('{"groups": {"nobody": {}}}', '"nobody", which is not known'),
    "groups list": ('{"groups": [1]}', "give an object in braces"),
    "group text": ('{"groups": {"dots": "a"}}', "give an object in braces"),
    "style number": ('{"groups": {"dots": {"style": 3}}}', '"style" is 3'),
    "style blank": ('{"groups": {"dots": {"style": " "}}}', "not blank"),
    "style huge": ('{"groups": {"dots": {"style": ["' + "x" * 10**6 + '"]}}}', '"style" is'),
    "descriptors": ('{"groups": {"dots": {"descriptors": "a"}}}', "up to 3 phrases"),
    "descriptors four": ('{"groups": {"dots": {"descriptors": ["a","b","c","d"]}}}', "up to 3"),
    "descriptors null": ('{"groups": {"dots": {"descriptors": [null]}}}', "up to 3 phrases"),
    "template": ('{"template": "a"}', "without {style}"),
    "template list": ('{"template": ["a"]}', "give text such as"),
    "same style": ('{"groups": {"dots": {"style": "waves"}}}', "have the same style phrase"),
}
LINES: dict[str, tuple[str | bytes, str]] = {
    "no json": ("{", "line 1 is not valid JSON"),
    "list": ("[]", "line 1 is not an object"),
    "nested": (DEEP, "more than 64 deep"),
    "nan": ('{"file_name": NaN}', "NaN is no number"),
    "twice": ('{"file_name": "0.png", "file_name": "1.png"}', "stands twice"),
    "no name": ("{}", "file_name"),
    "number": ('{"file_name": 3}', '"file_name" is 3'),
    "outside": ('{"file_name": "../waves/0.png"}', "leads out of"),
    "absolute": ('{"file_name": "/etc/passwd"}', "leads out of"),
    "gone": ('{"file_name": "99.png", "text": "a"}', '"99.png"'),
    "text list": ('{"file_name": "0.png", "text": ["a"]}', '"text" is'),
    "text blank": ('{"file_name": "0.png", "text": " "}', "not blank"),
    "half": (r'{"file_name": "0.png", "text": "\ud800"}', "half of a character"),
    "latin": (b'{"file_name": "0.png", "text": "\xe4"}', "is not UTF-8 text"),
    "huge": ('{"file_name": "' + "x" * 10**6 + '"}', "/groups/dots/"),
}
CHANGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "caption pipe": (_alone(_pipe("dots/0.txt")), "0.txt is a pipe"),
    "caption empty": (_alone(_text("dots/0.txt", "")), "0.txt is empty"),
    "caption latin": (_alone(_text("dots/0.txt", b"f\xfcr")), "is not UTF-8 text"),
    "caption large": (_alone(_text("dots/0.txt", "a" * (1 << 20))), "larger than 256 KiB"),
    "metadata pipe": (_pipe("dots/metadata.jsonl"), "metadata.jsonl is a pipe"),
    "groups.json pipe": (_pipe("groups.json"), "groups.json is a pipe"),
    "groups.json folder": (lambda f: (f / "groups.json").mkdir(), "groups.json is a folder"),
    "picture pipe": (_pipe("dots/0.png"), "0.png is a pipe"),
    "picture folder": (
        lambda f: [(f / "dots/0.png").unlink(), (f / "dots/0.png").mkdir()],
        "0.png",
    ),
    "no pictures": (_only(0), "holds no pictures"),
    "three pictures": (_only(3), "has 3 pictures; give at least 4"),
    "name not text": (_rename("dots", b"d\xffts"), "not Unicode text"),
    "file not text": (_rename("dots/0.png", b"dots/\xff.png"), "0.png"),
    "same name": (_rename("waves", "DOTS"), "same name but for upper and lower case"),
    "svg": (_text("dots/a.svg", "<svg/>"), "a.svg is in a format that is not read"),
    "hostile": (_rename("dots/1.png", "dots/a\nb\x1b[2J.png"), "1.png"),
}
STYLES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "there are no styles"),
    "comments": ("# a\n# b\n", "there are no styles"),
    "one": ("Dots: dots\n", 'only "Dots"'),
    "blank": ("Dots: \nLines: lines\n", "has a blank"),
    "no name": (": dots\nLines: lines\n", "has a blank"),
    "twice": ("Dots: a\nDots: b\n", 'names "Dots" again'),
    "case": ("Dots: a\nDOTS: b\n", 'names "DOTS" again'),
    "five phrases": ("Dots: a|b|c|d|e\nLines: lines\n", "up to 3 phrases"),
    "same phrase": ("A: dots\nB: dots\n", "have the same style phrase"),
    "latin": (b"D\xf6ts: dots\nLines: lines\n", "is not UTF-8 text"),
    "utf-16": ("Dots: dots\nLines: lines\n".encode("utf-16"), "is not UTF-8 text"),
    "zero": (b"Dots: d\0ts\nLines: lines\n", "zero byte"),
    "large": (b"x" * (5 << 20), "larger than 4 MiB"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), "is not UTF-8 text"),
    "many": ("\n".join(f"style {i}" for i in range(5000)), "5000 groups"),
    "long": ("A: " + "a" * 30_000 + "\nB: b\n", "more than 20000 characters"),
}
CONTENTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "there are no contents"),
    "twice": ("a fox\na cat\na fox\n", '"a fox" is listed 2 times'),
    "latin": (b"f\xfcchse\n", "is not UTF-8 text"),
    "large": (b"x\n" * (3 << 20), "larger than 4 MiB"),
}


def _styles(b: Bench, content: str | bytes) -> list[str]:
    return b.unlearn(model="demo", groups=None, styles=b.file("styles.txt", content))


def _contents(b: Bench, content: str | bytes) -> list[str]:
    styles, contents = b.file("s.txt", "A: a\nB: b\n"), b.file("contents.txt", content)
    return b.unlearn(model="demo", groups=None, styles=styles, contents=contents)


def _linked(b: Bench, loop: str) -> list[str]:
    folder = b.copy("groups")
    (folder / "dots" / "link").symlink_to(loop)
    return b.unlearn(groups=folder)


def _others() -> Iterator[Case]:
    for name, path in {"none": "none", "long": "x" * 300, "device": "/dev/null"}.items():
        yield f"groups {name}", partial(lambda b, p: b.unlearn(groups=p), p=path), path[:50]
        made = partial(lambda b, p: b.unlearn(groups=None, styles=p), p=path)
        yield f"styles {name}", made, path[:50]
    yield "groups file", lambda b: b.unlearn(groups=b.picture), "is a file; give a folder"
    yield "groups empty", lambda b: b.unlearn(groups=b.d), "holds no folders"
    yield "styles folder", lambda b: b.unlearn(groups=None, styles=b.d), "is a folder; give a file"
    yield "styles zero", lambda b: b.unlearn(groups=None, styles="/dev/zero"), "or a device"
    yield "groups command", lambda b: ["groups", b.d / "none"], "was not found"


CASES: list[Case] = [
    *(
        (f"groups.json {k}", partial(_folder, change=_text("groups.json", c)), w)
        for k, (c, w) in JSON.items()
    ),
    *(
        (f"metadata {k}", partial(_folder, change=_text("dots/metadata.jsonl", c)), w)
        for k, (c, w) in LINES.items()
    ),
    *((f"folder {k}", partial(_folder, change=c), w) for k, (c, w) in CHANGES.items()),
    *((f"styles {k}", partial(_styles, content=c), w) for k, (c, w) in STYLES.items()),
    *((f"contents {k}", partial(_contents, content=c), w) for k, (c, w) in CONTENTS.items()),
    *_others(),
]
