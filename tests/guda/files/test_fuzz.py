"""Inputs that nobody thought of: either read, or refused by the pack's own errors."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from guda.counterfactuals.manifest import MANIFEST, read_manifest
from guda.errors import GudaError
from guda.files import reading, tensorfile
from guda.groups import captions, phrases, tables

QUICK = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.sampled_from(
    [
        "dtype",
        "shape",
        "data_offsets",
        "__metadata__",
        "groups",
        "name",
        "slug",
        "style",
        "key",
        "gate",
        "losses",
        "template",
        "descriptors",
        "file_name",
        "text",
        "content",
        "base_model",
        "fingerprint",
        "dots",
    ]
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=3), inner),
    max_leaves=25,
)
TENSOR = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "U8", "I64", "BOOL", "F4", "F33"]) | LEAVES,
        "shape": st.lists(st.integers(-1, 4), max_size=4) | LEAVES,
        "data_offsets": st.lists(st.integers(-1, 40), min_size=2, max_size=2) | LEAVES,
    }
)


@QUICK
@given(st.dictionaries(st.text(max_size=3), TENSOR, max_size=3), st.integers(0, 80))
@example({"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}, 0)
def test_a_header_that_is_read_is_one_for_safetensors(header, rest):
    text = json.dumps(header).encode()
    try:
        found = tensorfile.parse(text, rest)
    except ValueError as error:
        assert len(str(error)) < 400
        return
    try:
        known = dict(deserialize(len(text).to_bytes(8, "little") + text + bytes(rest)))
    except SafetensorError as error:
        pytest.fail(f"safetensors refuses it: {error}")
    assert set(known) == set(found.entries)


@QUICK
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "replace")))
def test_any_bytes(data):
    for read in (reading.loads, lambda d: tensorfile.parse(d, 0)):
        with contextlib.suppress(ValueError):
            read(data)


@QUICK
@given(JSON)
def test_any_json(tmp_path, data):
    text = json.dumps(data)
    (tmp_path / MANIFEST).write_text(text, "utf-8")
    (tmp_path / "groups.json").write_text(text, "utf-8")
    (tmp_path / "metadata.jsonl").write_text(text, "utf-8")
    for work in (
        lambda: read_manifest(tmp_path),
        lambda: captions.read_phrases(tmp_path / "groups.json", ["dots", "waves"]),
        lambda: tables.read_table(tmp_path / "metadata.jsonl"),
    ):
        try:
            work()
        except GudaError as error:
            assert len(str(error).splitlines()) == 1


@QUICK
@given(st.text(max_size=200), st.text(min_size=1, max_size=12))
@example("ink " * 40, "ink")
def test_any_text(text, style):
    for work in (captions.parse_styles, captions.parse_contents):
        with contextlib.suppress(GudaError):
            work(text)
    if style.strip() and text.strip():
        assert phrases.split_caption(text, style).content
