"""How units are given out."""

from __future__ import annotations

from guda.cluster.board import Board
from guda.cluster.job import job
from guda.cluster.marked import marked
from guda.cluster.pictures import listed
from guda.cluster.score import Scoring
from guda.cluster.score_unit import told_of
from guda.cluster.units import Units
from guda.config import ElboConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.steps import drain


def test_no_worker_is_idle_while_a_unit_waits(client, backbone, source, groups_folder, tmp_path):
    client.wait_for_workers(2)
    without = DirectCounterfactuals((("Dots", "dots"), ("Lines", "lines")))
    config = ElboConfig(evaluations=4)
    pictures = groups_folder / "dots"
    work = Scoring(backbone, source, without, config, lambda: listed(pictures), tmp_path / "out", 3)
    units = list(work.units())[:2]
    told = job(backbone, source, work.out, 60.0, without=told_of(without), config=config.as_dict())
    by: list[str] = []

    def result(_, told) -> list:
        by.append(told["worker"])
        return []

    with marked(work.out, told):
        running = Units(client, told, Board("score", units), result)
        assert drain(running.run(units)) == []
    assert set(by) == set(client.nthreads())
