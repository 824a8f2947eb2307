"""What users' installers read: bounds, imports and files. Needs no server."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import stability
from tools.comfy.server import PACK_ROOT

HELP = PACK_ROOT / "web" / "docs"
CODE = sorted([*(PACK_ROOT / "guda").rglob("*.py"), *(PACK_ROOT / "nodes").rglob("*.py")])
BOUND = re.compile(r"^([A-Za-z0-9_.-]+)\s*([^\s#]*)")


def requirements() -> dict[str, str]:
    lines = (PACK_ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return dict(BOUND.match(line).groups() for line in lines if line and not line.startswith("#"))


def project_dependencies() -> dict[str, str]:
    text = (PACK_ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL).group(1)
    return dict(BOUND.match(entry).groups() for entry in re.findall(r'"([^"]+)"', block))


@pytest.mark.parametrize("bounds", [requirements, project_dependencies])
def test_only_lower_bounds(bounds):
    found = bounds()
    assert found and all(re.fullmatch(r">=[\d.]+", bound) for bound in found.values()), found


def test_the_tests_can_be_installed_into_any_comfyui():
    """An exact version would take away the front end that a user's ComfyUI came with."""
    text = (PACK_ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^test = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL).group(1)
    entries = re.findall(r'^ +"([^"]+)"', block, re.MULTILINE)
    assert len(entries) > 10 and not [e for e in entries if "==" in e or "<" in e]


def test_requirements_leave_torch_to_comfyui():
    assert not {"torch", "torchvision", "torchaudio", "numpy"} & set(requirements())


def test_requirements_agree_with_pyproject():
    declared = project_dependencies()
    assert {name: declared.get(name) for name in requirements()} == requirements()


def test_version_is_the_same_everywhere():
    text = (PACK_ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(\d+\.\d+\.\d+)"', text, re.MULTILINE).group(1)
    package = (PACK_ROOT / "guda" / "version.py").read_text(encoding="utf-8")
    assert f'__version__ = "{version}"' in package
    assert f"## [{version}]" in (PACK_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def imported(path: Path) -> set[str]:
    """Top-level names of the absolute imports of one file, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
    return names


def test_the_pack_imports_itself_relatively():
    """Inside ComfyUI there is no top-level `guda`, and `nodes` is ComfyUI's own."""
    wrong = {str(path): imported(path) & {"guda", "nodes"} for path in CODE}
    assert not {path: names for path, names in wrong.items() if names}


def test_the_method_knows_nothing_of_comfyui():
    comfyui = {"comfy", "comfy_api", "comfy_execution", "folder_paths", "server"}
    wrong = {str(p): imported(p) & comfyui for p in CODE if (PACK_ROOT / "guda") in p.parents}
    assert not {path: names for path, names in wrong.items() if names}


def test_install_makes_the_model_folders(tmp_path):
    pack = tmp_path / "ComfyUI" / "custom_nodes" / "comfyui-guda"
    pack.mkdir(parents=True)
    for name in ("install.py", "requirements.txt"):
        (pack / name).write_bytes((PACK_ROOT / name).read_bytes())
    done = subprocess.run(
        [sys.executable, "install.py"], cwd=pack, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ComfyUI/models/loras/guda").is_dir()
    assert (tmp_path / "ComfyUI/models/diffusers").is_dir()
    assert 1 <= len(done.stdout.splitlines()) <= 2


def test_every_node_has_a_help_page_with_a_picture():
    from PIL import Image

    ids = re.findall(r'node_id="(\w+)"', "".join(p.read_text("utf-8") for p in CODE))
    assert {p.stem for p in HELP.glob("*.md")} == set(ids) and len(ids) > 10
    for node_id in ids:
        (link,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (HELP / f"{node_id}.md").read_text("utf-8"))
        assert link == f"images/{node_id}.jpg"
        assert (HELP / link).stat().st_size < 60_000, link
        with Image.open(HELP / link) as picture:
            assert picture.format == "JPEG" and picture.width >= 300, link


def explained(page: Path, what: str) -> list[str]:
    """Names in the first column of a help page's tables of inputs or outputs."""
    tables = re.findall(rf"^\| {what} \|.*\n((?:\|.*\n)+)", page.read_text("utf-8"), re.MULTILINE)
    rows = "".join(tables).splitlines()
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


@pytest.mark.parametrize("node_id", stability.read())
def test_help_pages_explain_every_input_and_output(node_id: str):
    """By its id, and by its name in the node where that is another."""
    node, page = stability.read()[node_id], HELP / f"{node_id}.md"
    english = json.loads((PACK_ROOT / "locales/en/nodeDefs.json").read_text("utf-8"))[node_id]
    names = {i: english["inputs"][i]["name"].removesuffix(" (0 = auto)") for i in node["inputs"]}
    differ = {n for i, n in names.items() if n != i.replace("_", " ")}
    told = explained(page, "Input") + explained(page, "Advanced")
    assert sorted(told) == sorted(names.keys() | differ)
    outputs = [o["name"] for o in node["outputs"]]
    assert sorted(explained(page, "Output")) == sorted(outputs)


def test_example_workflows_are_described():
    """Templates of ComfyUI's browser: each with a thumbnail, each in the README."""
    readme = (PACK_ROOT / "README.md").read_text("utf-8")
    workflows = sorted((PACK_ROOT / "example_workflows").glob("*.json"))
    assert len(workflows) == 7
    for path in workflows:
        assert path.with_suffix(".jpg").stat().st_size < 60_000, path.stem
        assert f"| *{path.stem}* |" in readme, path.stem
