"""Fixtures: `comfy`, a real ComfyUI with the pack, once a session; `page`, its page in Chromium.

`site` is the same with two front ends, the installed one and the newest, in both renderers.
"""

from __future__ import annotations

import json
import shutil

import pytest

from tools.comfy.browser import ComfyPage
from tools.comfy.chromium import NoChromiumError, launched_chromium
from tools.comfy.client import PACK_FOLDER, Comfy, ComfyError
from tools.comfy.graphs import Graph
from tools.comfy.server import PACK_ROOT, newest_front_end, running_comfy

TOGETHER = "tests/guda/refusals"  # its last test sums up the others
HOLDING = PACK_ROOT / "tools" / "comfy" / "holding.py"
ONE_AFTER_THE_OTHER = ("nodes", "web", "example_workflows", "tools")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """What uses the server and the page shares one of them; the core runs beside it.

    xdist's own marks of groups have no effect from pytest 9.2 on.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.split("/")[1] in ONE_AFTER_THE_OTHER:
                return "comfy"
            return TOGETHER if nodeid.startswith(TOGETHER) else nodeid

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def comfy(tmp_path_factory: pytest.TempPathFactory):
    """A running ComfyUI (see `server.Comfy`); all its folders are under `comfy.base`.

    Its owner lets workflows read two more folders, by-variable and by-file.
    """
    base = tmp_path_factory.mktemp("comfyui")
    paths = base / "extra_model_paths.yaml"
    paths.write_text(f"guda:\n    guda_styles: {json.dumps(str(base / 'by-file'))}\n", "utf-8")
    options = ["--extra-model-paths-config", str(paths)]
    custom = base / "custom_nodes"
    custom.mkdir()
    shutil.copy(HOLDING, custom)
    options += ["--whitelist-custom-nodes", PACK_FOLDER, HOLDING.name]
    environment = {"GUDA_FOLDERS": str(base / "by-variable")}
    try:
        with running_comfy(base, options=options, environment=environment) as server:
            yield server
        return
    except ComfyError as error:
        reason = str(error)
    pytest.fail(reason, pytrace=False)


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium, once a session."""
    try:
        with launched_chromium() as browser:
            yield browser
        return
    except NoChromiumError as error:
        reason = str(error)
    pytest.fail(reason, pytrace=False)


@pytest.fixture
def page(comfy: Comfy, chromium):
    """A fresh ComfyUI page with an empty graph (see `browser.ComfyPage`)."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    try:
        yield ComfyPage.open(context, comfy)
    finally:
        context.close()


CUT_OFF = """() => window.app.graph._nodes
    .filter(n => n.computeSize()[1] > n.size[1] + 1)
    .map(n => `${n.type}: ${n.size[1]} pixels of ${n.computeSize()[1]}`)"""


@pytest.fixture(scope="session")
def examples(comfy: Comfy, chromium) -> dict[str, tuple[Graph, list[str]]]:
    """Of every example workflow: what the page queues, and nodes too small for their widgets."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    found = {}
    try:
        page = ComfyPage.open(context, comfy)
        for path in sorted((PACK_ROOT / "example_workflows").glob("*.json")):
            page.load(path)
            name = path.stem.split(" ", 1)[1].replace(" ", "_")
            found[name] = page.graph_to_prompt(), page.page.evaluate(CUT_OFF)
        return found
    finally:
        context.close()


@pytest.fixture(scope="session")
def newest_comfy(comfy: Comfy):
    """A second server on the same folders, with the newest front end, that saves no metadata."""
    options = ["--disable-metadata"]
    try:
        with running_comfy(comfy.base, front_end=newest_front_end(), options=options) as server:
            yield server
        return
    except ComfyError as error:
        reason = str(error)
    pytest.fail(reason, pytrace=False)


@pytest.fixture(
    scope="session",
    params=[(f, r) for f in ("installed", "newest") for r in ("classic", "nodes2")],
    ids="-".join,
)
def site(request: pytest.FixtureRequest) -> tuple[Comfy, str, dict]:
    """(server, name, settings) of every front end and renderer."""
    front_end, renderer = request.param
    server = request.getfixturevalue("comfy" if front_end == "installed" else "newest_comfy")
    settings = {"Comfy.VueNodes.Enabled": renderer == "nodes2"}
    return server, f"{front_end}-{renderer}", settings
