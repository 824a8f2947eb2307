"""A cluster that speaks TLS, with a certificate made here: reached with its files alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from guda.cli import main
from guda.cluster import connect
from guda.cluster.connect import Security
from guda.cluster.score import SCORES
from guda.errors import ClusterError

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="needs openssl")


def certificate(folder, name: str) -> tuple[str, str]:
    """Signed by itself, so that it is its own authority; of the loopback."""
    key, cert = str(folder / f"{name}.key"), str(folder / f"{name}.pem")
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-keyout", key, "-out", cert, "-days", "1", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([str(OPENSSL), *made], check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls"), "node")


@pytest.fixture(scope="module")
def address(files):
    """Of a scheduler with one worker, both in this process."""
    import distributed

    cert, key = files
    both = {f"tls_{s}_{k}": v for s in ("scheduler", "worker", "client") for k, v in
            (("cert", cert), ("key", key))}  # fmt: skip
    security = distributed.Security(tls_ca_file=cert, require_encryption=True, **both)
    at = {"host": "127.0.0.1", "protocol": "tls", "security": security}
    scheduler = {"cls": distributed.Scheduler, "options": {**at, "dashboard": False, "port": 0}}
    worker = {"cls": distributed.Worker, "options": {**at, "nthreads": 1, "memory_limit": 0}}
    begun = connect._begun(distributed.SpecCluster, {0: worker}, scheduler, security=security)
    with begun as cluster:
        yield cluster.scheduler_address


def test_scores_come_over_tls(address, files, model_folder, groups_folder, tmp_path, monkeypatch):
    assert address.startswith("tls://127.0.0.1:")
    monkeypatch.setenv("HOME", str(Path(files[0]).parent))
    cert, key = (f"~/{Path(file).name}" for file in files)
    styles = tmp_path / "styles.txt"
    styles.write_text("Dots: dots\nLines: lines\n", "utf-8")
    argv = ["score", "--model", str(model_folder), "--styles", str(styles), "--device", "cpu"]
    argv += ["--evaluations", "4", "--pictures", str(groups_folder / "waves"), "--shard", "4"]
    argv += ["--out", str(tmp_path / "out"), "--cluster", address]
    assert main([*argv, "--tls-ca", cert, "--tls-cert", cert, "--tls-key", key]) == 0
    rows = (tmp_path / "out" / SCORES).read_text("utf-8").splitlines()
    assert all({s["group"] for s in json.loads(r)["scores"]} == {"Dots", "Lines"} for r in rows)


def test_a_thread_that_begins_late_is_waited_for(address, files, monkeypatch):
    """Dask gives it ten seconds and then asserts; once, here, before it is tried."""
    import distributed

    tried: list[str] = []

    class Late(distributed.Client):
        def __init__(self, *args, **options):
            tried.append(args[0])
            assert len(tried) > 1, "its thread did not begin"
            super().__init__(*args, **options)

    monkeypatch.setattr(distributed, "Client", Late)
    cert, key = files
    with connect.connected(address, Security(cert, cert, key)) as client:
        assert client.status == "running" and tried == [address] * 2


def test_strangers_are_turned_away(address, tmp_path, monkeypatch):
    monkeypatch.setattr(connect, "ANSWER", 2.0)
    cert, key = certificate(tmp_path, "stranger")
    for security in (Security(), Security(cert, cert, key)):
        with pytest.raises(ClusterError, match="No scheduler answers at tls"):
            connect.connected(address, security).__enter__()
