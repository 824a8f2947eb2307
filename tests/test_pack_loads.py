"""The pack in a real ComfyUI: it loads, and what it shows to the user is complete."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from tools.comfy.client import PACK_FOLDER, Comfy
from tools.comfy.server import PACK_ROOT

WEB = PACK_ROOT / "web"


@pytest.fixture(scope="module")
def nodes(comfy: Comfy):
    found = comfy.pack_nodes()
    assert found, f"ComfyUI shows no node of the pack; log:\n{comfy.log_tail()}"
    return found


def inputs_of(info: dict) -> dict[str, list]:
    shown = (info["input"].get(part, {}) for part in ("required", "optional"))
    return {name: spec for part in shown for name, spec in part.items()}


def test_import_succeeds(comfy: Comfy):
    log = comfy.log()
    about_pack = [line for line in log.splitlines() if PACK_FOLDER in line]
    assert about_pack, log
    assert not [line for line in about_pack if "IMPORT FAILED" in line], log
    assert "Error while calling comfy_entrypoint" not in log


def test_pyproject_is_readable_by_comfyui(comfy: Comfy):
    assert "Unable to parse pyproject.toml" not in comfy.log()


def test_nodes_are_in_the_pack_s_category(nodes):
    for node_id, info in nodes.items():
        assert info["category"].split("/")[0] == "GUDA", (node_id, info["category"])
        assert node_id.isidentifier() and node_id.startswith("Guda"), node_id
        assert info["display_name"] and info["description"], node_id


def test_every_input_has_a_tooltip(nodes):
    missing = [
        f"{node_id}.{name}"
        for node_id, info in nodes.items()
        for name, spec in inputs_of(info).items()
        if not (len(spec) > 1 and spec[1].get("tooltip", "").strip())
    ]
    assert not missing


def test_every_output_has_a_tooltip(nodes):
    missing = [
        f"{node_id}[{index}] {info['output_name'][index]}"
        for node_id, info in nodes.items()
        for index in range(len(info["output"]))
        if not (info.get("output_tooltips") or [None] * len(info["output"]))[index]
    ]
    assert not missing


def test_every_script_is_served_once(comfy: Comfy):
    served = [path for path in comfy.get("/extensions") if "guda" in path.lower()]
    expected = {
        f"/extensions/{PACK_FOLDER}/{path.relative_to(WEB).as_posix()}"
        for path in WEB.rglob("*.js")
    }
    assert len(served) == len(set(served))
    assert set(served) == expected
    for path in served:
        assert comfy.request(path)


def test_every_node_has_a_help_page(comfy: Comfy, nodes):
    missing = [node_id for node_id in nodes if not (WEB / "docs" / f"{node_id}.md").is_file()]
    assert not missing
    for node_id in nodes:
        assert comfy.request(f"/extensions/{PACK_FOLDER}/docs/{node_id}.md").strip()


def test_help_pages_have_an_example_and_no_broken_picture(comfy: Comfy, nodes):
    for node_id in nodes:
        page = (WEB / "docs" / f"{node_id}.md").read_text("utf-8")
        assert "**Example" in page, node_id
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page):
            data = comfy.request(f"/extensions/{PACK_FOLDER}/docs/{picture}")
            with Image.open(io.BytesIO(data)) as image:
                assert min(image.size) > 60, (node_id, picture)


def test_every_word_of_an_interface_is_explained(nodes):
    """Each input and output is in the node's help page, by name; finer settings together."""
    for node_id, info in nodes.items():
        page = (WEB / "docs" / f"{node_id}.md").read_text("utf-8")
        for name in info["output_name"]:
            assert f"`{name}`" in page, (node_id, name)
        if "the others" not in page:
            for name in inputs_of(info):
                assert f"`{name}`" in page, (node_id, name)


def test_no_help_page_is_left_over(nodes):
    pages = {path.stem for path in (WEB / "docs").glob("*.md")}
    assert pages <= set(nodes)
