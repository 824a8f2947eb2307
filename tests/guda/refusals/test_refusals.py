"""Bad inputs by the hundred: exit code 2, one line with input, value and remedy, nothing left."""

from __future__ import annotations

import resource
import sys

import pytest
import torch

from guda.cli import main
from guda.groups.pictures import save_png

from ...checkpoints import TINY, write, write_tokenizer
from . import commands, groups, models, pictures, sets
from .bench import BYTES, Bench, problems

TABLES = {
    "commands": commands.CASES,
    "models": models.CASES,
    "groups": groups.CASES,
    "sets": sets.CASES,
    "pictures": pictures.CASES,
}
CASES = [case for table in TABLES.values() for case in table]


@pytest.fixture(scope="module")
def good(tmp_path_factory, model_folder, groups_folder, make_lora, make_set):
    from guda.backbone.files.load import load

    root = tmp_path_factory.mktemp("good")
    backbone = load(model_folder)
    make_set(root / "set", backbone, {n: make_lora(backbone, 0.1) for n in ("dots", "waves")})
    save_png(torch.rand(3, 40, 32, generator=torch.Generator().manual_seed(0)), root / "fox.png")
    checkpoint = write(root / "tiny.safetensors", TINY["sd1"])
    tokenizer = write_tokenizer(root / "tokenizer")
    shared = (model_folder, groups_folder, root / "set", root / "fox.png", checkpoint, tokenizer)
    return lambda own: Bench(own, *shared)


@pytest.fixture(scope="module")
def refused() -> list[str]:
    return []


def test_names_are_unique():
    names = [f"{table}: {name}" for table, cases in TABLES.items() for name, *_ in cases]
    assert len(names) >= 350 and len(set(names)) >= len(names) - 2  # two long ones are cut alike


@pytest.mark.parametrize("table", TABLES)
def test_bad_inputs(table, good, refused, tmp_path_factory, capsys, monkeypatch):
    root, wrong = tmp_path_factory.mktemp(table), []
    for i, (name, make, words) in enumerate(TABLES[table]):
        own = root / str(i)
        own.mkdir()
        monkeypatch.chdir(own)
        argv: list[str] = [str(x) for x in make(good(own))]
        found = list(problems(argv, words, own, main, capsys))
        wrong += [f"{name}: {', '.join(found)}"] if found else []
        refused += [] if found else [name]
    assert not wrong, f"{len(wrong)} of {len(TABLES[table])}\n" + "\n".join(wrong)


def test_all_are_refused_within_bounds(refused, capsys):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if _on_mac() else 1024)
    with capsys.disabled():
        print(f"\n{len(refused)} of {len(CASES)} refused cleanly; at most {peak / 1e9:.2f} GB")
    assert len(refused) == len(CASES)
    assert peak < BYTES or _is_shared_process()


def _on_mac() -> bool:
    return sys.platform == "darwin"


def _is_shared_process() -> bool:
    """Whether other tests ran here before, whose memory counts as well."""
    return len({name.rpartition(".")[2] for name in sys.modules if ".test_" in name}) > 1
