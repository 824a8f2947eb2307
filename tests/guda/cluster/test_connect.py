"""Local workers beside the program that asks for them."""

from __future__ import annotations

import inspect
import sys

from guda.cluster.connect import connected


def test_python_can_be_asked_about_itself_while_local_workers_are_there():
    """torch does, when a part of it is imported late: it looks through all modules for a file."""
    inspect.getmodule(sys._getframe(), "a file of no module")
    before = dict(vars(sys.modules["__main__"]))
    with connected("local:1"):
        inspect.getmodule(sys._getframe(), "another")
    assert vars(sys.modules["__main__"]) == before
