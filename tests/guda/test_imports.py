"""The direction of imports, one rule per folder, from the source and a fresh interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "guda"
FILES = sorted(PACKAGE.rglob("*.py"))

GROUND = {"errors", "escape", "files", "steps", "version", "settings", "variants", "config"}
STAGES = GROUND | {"diffusion", "groups", "scoring", "budget"}
METHOD = STAGES | {"unlearning", "counterfactuals"}
FACES = METHOD | {"jobs", "report", "evidence", "backbone"}
LAW: dict[str, set[str]] = {
    # What the files of a folder may import of guda, beside the folder itself.
    **{name: GROUND for name in GROUND},
    "diffusion": GROUND,
    "backbone": GROUND | {"diffusion"},
    "groups": GROUND | {"diffusion"},
    "scoring": GROUND | {"diffusion"},
    "budget": GROUND | {"diffusion"},
    "unlearning": STAGES,
    "counterfactuals": STAGES | {"unlearning"},
    "jobs": METHOD,
    "report": GROUND | {"scoring"},
    "evidence": METHOD | {"jobs", "report"},
    "demo": FACES,
    "bench": FACES | {"demo"},
    "api": FACES,
    "cluster": FACES | {"api", "bench"},
    "cli": FACES | {"demo", "bench", "api", "cluster"},
    "__main__": {"cli"},
}
NODES = FACES | {"demo", "cluster"}
LIBRARIES = {"diffusers", "transformers", "peft"}
PURE = ("diffusion", "scoring")  # torch, numpy and scipy alone


def imported(tree: ast.AST, path: Path) -> set[str]:
    """Absolute names of everything imported below `tree`."""
    names = set()
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            names |= {module} | {f"{module}.{a.name}" for a in node.names}
    return names


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def rooms(path: Path) -> set[str]:
    """The folders and loose modules of guda that a file imports."""
    names = imported(parsed(path), path)
    known = {p.stem if p.is_file() else p.name for p in PACKAGE.iterdir()}
    return {n.split(".")[1] for n in names if n.startswith("guda.")} & known


def room(path: Path) -> str:
    top = path.relative_to(PACKAGE).parts[0]
    return top.removesuffix(".py")


def run(code: str) -> str:
    command = [sys.executable, "-B", "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", sorted({room(p) for p in FILES} - {"__init__"}))
def test_a_folder_imports_only_what_lies_below_it(name):
    files = [p for p in FILES if room(p) == name]
    for path in files:
        assert rooms(path) - {name} <= LAW[name], path


def test_the_nodes_see_the_faces_of_the_method():
    for path in sorted((ROOT / "nodes").glob("*.py")):
        assert rooms(path) <= NODES, path


def test_few_modules_lie_loose():
    loose = [p.name for p in PACKAGE.glob("*.py")]
    assert len(loose) <= 10, loose


def test_no_function_asks_for_more_than_seven_things():
    """Without `self` and what a ** gathers. ComfyUI gives a node's inputs by keyword."""
    asked = {}
    for path in (*FILES, *(ROOT / "nodes").glob("*.py")):
        for f in ast.walk(parsed(path)):
            if isinstance(f, ast.FunctionDef) and (path in FILES or f.name != "execute"):
                names = [a.arg for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs)]
                asked[f"{path.relative_to(ROOT)}: {f.name}"] = set(names) - {"self", "cls"}
    assert len(asked) > 500
    assert {name: sorted(them) for name, them in asked.items() if len(them) > 7} == {}


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
        assert not prints or room(path) == "cli", (path, prints)


@pytest.mark.parametrize("name", PURE)
def test_the_maths_sees_no_library_of_models(name):
    for path in (PACKAGE / name).glob("*.py"):
        names = imported(parsed(path), path)
        assert not {n.split(".")[0] for n in names} & (LIBRARIES | {"safetensors", "PIL"}), path


def test_only_the_backbone_touches_diffusers_and_peft():
    for path in FILES:
        tops = {name.split(".")[0] for name in imported(parsed(path), path)}
        if tops & LIBRARIES:
            assert room(path) == "backbone", path


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


def test_the_jobs_import_without_diffusers_and_peft():
    code = (
        "import guda.jobs.unlearn, guda.jobs.attribute, sys; "
        "print([m for m in ('diffusers', 'transformers', 'peft') if m in sys.modules])"
    )
    assert run(code).strip() == "[]"


def test_without_a_cluster_nothing_of_it_is_imported(tmp_path):
    """A whole run, as its modules are imported where they are needed."""
    argv = ["unlearn", "--model", "demo", "--groups", "none", "--out", str(tmp_path / "set")]
    code = (
        f"import sys; from guda.cli import main; code = main({argv!r}); "
        "import guda.jobs.unlearn, guda.jobs.attribute, guda.api, guda.report; "
        "print(code, [m for m in sys.modules "
        "if m.startswith(('guda.cluster', 'dask', 'distributed'))])"
    )
    assert run(code).strip() == "2 []"
