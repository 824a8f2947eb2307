"""What Dask sets for the memory of its workers is not what a UNet wants."""

from __future__ import annotations

import sys

import pytest

from guda.cluster.worker import perform

BLOCKS, PAGES = 50, 256


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's setting")
def test_a_worker_does_not_ask_for_the_same_memory_again_and_again(client):
    def faults(blocks: int, pages: int) -> int:  # pickled whole, as it is no module's
        import resource

        def count() -> int:
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

        before = count()
        for _ in range(blocks):
            bytearray(pages * 4096).count(1)
        return count() - before

    (worker, *_) = client.nthreads()

    def made() -> int:
        return client.submit(faults, BLOCKS, PAGES, workers=[worker], pure=False).result()

    told = {"run": "none", "version": "0", "patience": 60.0}, {"key": "none"}
    refused = client.submit(perform, *told, workers=[worker], pure=False).result()
    assert refused["state"] == "refused"
    made()  # the first block is a new one
    assert made() < BLOCKS * PAGES // 10
