"""Text and JSON from strangers: limits, regular files, strict JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from guda.errors import GroupsError, ModelError
from guda.files import reading, tensorfile

WRONG = {
    '{"a": 1, "a": 2}': "the key 'a' stands twice",
    "[" * 100_000: "more than 64 deep",
    "[" * 70 + "]" * 70: "more than 64 deep",
    "[NaN]": "NaN is no number",
    "[-Infinity]": "-Infinity is no number",
    "[1e999]": "1e999 is too large",
    "1" * 5000: "is too large a number",
    r'["\ud800"]': "half of a character",
    r'{"a": {"\udc00": 1}}': "half of a character",
    "": "Expecting value",
    '["\t"]': "Invalid control character",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:12])
def test_json_that_is_refused(text):
    with pytest.raises(GroupsError) as caught:
        reading.parse_json(text, "x.json")
    message = str(caught.value)
    assert message.startswith("x.json is not valid JSON (") and message.endswith("; correct it.")
    assert WRONG[text] in message and len(message) < 250


def test_json_that_is_read():
    data = {"a": [1, -2.5, None, True, {"b": "\U0001f600 \u7d75"}], "c": 2**60}
    assert reading.loads(json.dumps(data)) == data  # with both halves of a character escaped
    assert reading.loads("[" * 60 + "]" * 60)


def test_files_that_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b" " * 100)
    (tmp_path / "zero").write_bytes(b"a\0b")
    (tmp_path / "latin").write_bytes("ä".encode("latin-1"))
    (tmp_path / "loop").symlink_to("loop")
    told = {
        tmp_path / "pipe": "a pipe, a socket or a device; give a file.",
        tmp_path / "large": "is larger than 0 KiB",
        tmp_path / "zero": "holds a zero byte",
        tmp_path / "latin": "is not UTF-8 text (byte 0); save it as UTF-8.",
        tmp_path / "none": "was not found; check the name and the folder.",
        tmp_path / "loop": "cannot be opened (Too many levels of symbolic links)",
        tmp_path / ("x" * 300): "cannot be opened (File name too long)",
        tmp_path: "is a folder; give a file.",
    }
    for path, words in told.items():
        with pytest.raises(ModelError) as caught:
            reading.read_text(path, 99, ModelError)
        assert str(caught.value).startswith(str(path)) and words in str(caught.value)


def test_a_device_that_never_ends():
    with pytest.raises(GroupsError, match="a pipe, a socket or a device"):
        reading.read_text(Path("/dev/zero"))


def test_long_values_are_cut_in_errors():
    assert reading.shown("abc") == "'abc'"
    assert len(reading.shown("x" * 10**6)) < 80


def header(**entries):
    return json.dumps(entries).encode()


def tensor(dtype="F32", shape=(2,), place=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(place)}


HEADERS = {
    "overlap": (header(a=tensor(), b=tensor(place=(4, 12))), 12, "overlaps another"),
    "gap": (header(a=tensor(), b=tensor(place=(12, 20))), 20, "leaves a gap"),
    "short": (header(a=tensor()), 7, "1 bytes are missing at its end"),
    "long": (header(a=tensor()), 9, "1 are too many at its end"),
    "shape": (header(a=tensor(shape=(3,))), 8, "has 8 bytes, its shape [3] needs 12"),
    "negative": (header(a=tensor(shape=(-2,))), 8, "a size that is no count"),
    "huge": (header(a=tensor(shape=(2**40, 2**40))), 8, "needs"),
    "deep": (header(a=tensor(shape=[1] * 99)), 8, "has the shape"),
    "true": (header(a=tensor(shape=(True, 2))), 8, "a size that is no count"),
    "backward": (header(a=tensor(place=(8, 0))), 8, "has -8 bytes"),
    "three": (header(a=tensor(place=(0, 4, 8))), 8, "is not described"),
    "type": (header(a=tensor(dtype="F31")), 8, "unknown type 'F31'"),
    "typeless": (header(a=tensor(dtype=["F32"])), 8, "unknown type"),
    "empty": (header(a={}), 8, "is not described"),
    "text": (header(a="b"), 8, "is not described"),
    "metadata": (header(__metadata__={"a": 1}), 0, "__metadata__ is not text"),
    "list": (b"[]", 0, "is not JSON"),
    "twice": (b'{"a": 1, "a": 2}', 0, "stands twice"),
    "nested": (b'{"a":' + b"[" * 99_999, 0, "deep within each other"),
    "bytes": (b"{\xff\xff}", 0, "invalid start byte"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_are_refused(name):
    text, rest, words = HEADERS[name]
    with pytest.raises(ValueError) as caught:
        tensorfile.parse(text, rest)
    assert words in str(caught.value) and len(str(caught.value)) < 250


def test_a_header_that_is_read():
    text = header(
        __metadata__={"a": "b"},
        late=tensor("BF16", (), (8, 10)),
        none=tensor("F16", (0, 5), (8, 8)),
        first=tensor(),
    )
    found = tensorfile.parse(text, 10)
    assert found.metadata == {"a": "b"}
    assert found.entries["late"] == ("BF16", ()) and found.entries["first"] == ("F32", (2,))
