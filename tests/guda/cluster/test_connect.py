"""Local workers beside the program that asks for them."""

from __future__ import annotations

import gc
import inspect
import sys

from guda.cluster import connect
from guda.cluster.connect import connected


def test_python_can_be_asked_about_itself_while_local_workers_are_there():
    """torch does, when a part of it is imported late: it looks through all modules for a file."""
    inspect.getmodule(sys._getframe(), "a file of no module")
    before = dict(vars(sys.modules["__main__"]))
    with connected("local:1"):
        inspect.getmodule(sys._getframe(), "another")
    assert vars(sys.modules["__main__"]) == before


def test_no_client_of_before_ends_while_another_begins():
    """It would wait for a lock of Dask's that the beginning one holds."""
    begins, ended = [False], []

    class Client:
        def __init__(self):
            self.itself = self

        def __del__(self):
            ended.append(begins[0])

    def begin():
        begins[0] = True
        kept = [[] for _ in range(100_000)]  # enough for the collector to begin
        begins[0] = False
        return len(kept)

    Client()
    assert connect._begun(begin) == 100_000 and ended == [False]
    assert gc.isenabled()
