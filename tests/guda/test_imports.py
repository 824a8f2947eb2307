"""The arrows between modules, read from the source and from a fresh interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "guda").rglob("*.py"))
MATHS = ("schedule", "noise", "attribution", "estimate", "elbo", "anchors", "scoring", "metrics")


def imported(tree: ast.AST, path: Path) -> set[str]:
    """Absolute names of everything imported below `tree`."""
    found = set()
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            found |= {module} | {f"{module}.{a.name}" for a in node.names}
    return found


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def run(code: str) -> str:
    command = [sys.executable, "-B", "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_core_knows_nothing_of_comfyui():
    assert len(FILES) > 30
    outside = {"comfy", "comfy_api", "comfy_extras", "nodes", "server", "folder_paths", "execution"}
    for path in FILES:
        tops = {name.split(".")[0] for name in imported(parsed(path), path)}
        assert not tops & outside, path


def test_only_the_command_line_prints():
    for path in FILES:
        calls = [n for n in ast.walk(parsed(path)) if isinstance(n, ast.Call)]
        prints = [c.lineno for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]
        assert bool(prints) == (path.name == "cli.py"), (path, prints)


@pytest.mark.parametrize("name", MATHS)
def test_the_maths_sees_the_protocol_only(name):
    path = ROOT / "guda" / f"{name}.py"
    names = imported(parsed(path), path)
    libraries = {"diffusers", "transformers", "peft", "safetensors", "PIL"}
    assert not {n.split(".")[0] for n in names} & libraries
    inner = {n for n in names if n.startswith("guda.backbone")}
    allowed = {"guda.backbone"} | {
        f"guda.backbone.{n}" for n in ("Backbone", "Conditioning", "LoraWeights")
    }
    assert inner <= allowed


def test_only_the_backbone_touches_diffusers_and_peft():
    for path in FILES:
        tops = {name.split(".")[0] for name in imported(parsed(path), path)}
        if tops & {"diffusers", "transformers", "peft"}:
            assert path.parent.name == "backbone", path


def test_nothing_seeds_or_unpickles():
    for path in FILES:
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in {"torch.manual_seed", "np.random.seed", "random.seed"}, path
            assert called not in {"torch.load", "torch.save", "pickle.load", "pickle.loads"}, path


def test_the_command_line_starts_without_the_heavy_libraries():
    heavy = ("torch", "diffusers", "transformers", "peft", "numpy", "matplotlib", "scipy")
    code = f"import guda.cli, sys; print([m for m in {heavy!r} if m in sys.modules])"
    assert run(code).strip() == "[]"


def test_the_pipeline_imports_without_diffusers_and_peft():
    code = (
        "import guda.pipeline, sys; "
        "print([m for m in ('diffusers', 'transformers', 'peft') if m in sys.modules])"
    )
    assert run(code).strip() == "[]"
