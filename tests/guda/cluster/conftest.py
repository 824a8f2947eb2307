"""A cluster of two processes, once a module, and a recipe of two repetitions."""

from __future__ import annotations

import pytest

from guda.cluster.connect import connected
from guda.cluster.job import Source


@pytest.fixture(scope="package")
def client():
    """Two workers that keep their models from test to test."""
    with connected("local:2") as client:
        yield client


@pytest.fixture(scope="session")
def twice(recipe):
    return recipe.replace(repeats=2)


@pytest.fixture
def source(model_folder):
    return Source(str(model_folder), device="cpu")
