"""The bundle that the tests look at, and a copy to change."""

from __future__ import annotations

import pytest

from .evidence_sample import make


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def copy(made, tmp_path):
    path = tmp_path / "copy.zip"
    path.write_bytes(made.read_bytes())
    return path
