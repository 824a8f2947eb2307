"""A cluster of two processes, once a session, and a recipe of two repetitions."""

from __future__ import annotations

import pytest

from guda.cluster.connect import connected
from guda.cluster.job import Source
from guda.groups import check_pictures, load_folder


@pytest.fixture(scope="package")
def client():
    """Two workers that keep their models from test to test; on one thread each, as tests are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        with connected("local:2") as client:
            patch.undo()
            yield client


@pytest.fixture(scope="package")
def groups(groups_folder):
    """As commands load them, with what is remarked of the pictures."""
    groups = load_folder(groups_folder)
    check_pictures(groups)
    return groups


@pytest.fixture(scope="session")
def twice(recipe):
    return recipe.replace(repeats=2)


@pytest.fixture
def source(model_folder):
    return Source(str(model_folder), device="cpu")


@pytest.fixture(autouse=True)
def drawn_in_few_steps():
    """No: workers are processes of their own, and draw as many steps as others do."""
