"""Run by ComfyUI-Manager after `pip install -r requirements.txt`: checks the environment and makes
the model folders. Installs nothing, uses no network, never fails the installation."""

from __future__ import annotations

import os
import re
from importlib import metadata
from pathlib import Path

PACK = Path(__file__).absolute().parent
FOLDERS = ("loras/guda", "diffusers")
BROUGHT_BY_COMFYUI = {"torch": "2.4", "numpy": "1.25"}  # never installed or changed by the pack


def lower_bounds() -> dict[str, str]:
    """Distribution name -> lowest version, from requirements.txt."""
    text = (PACK / "requirements.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)>=([\d.]+)", text, re.MULTILINE))


def release(version: str) -> tuple[int, ...]:
    """'2.14.1+cu130' -> (2, 14, 1), as far as it takes to compare with a lower bound."""
    parts = [int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3]]
    return tuple(parts + [0] * (3 - len(parts)))


def problems(bounds: dict[str, str]) -> list[str]:
    """What is missing or too old, one phrase each."""
    found = []
    for name, lowest in bounds.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            found.append(f"{name} is missing (needs >={lowest})")
            continue
        if release(version) < release(lowest):
            found.append(f"{name} {version} is too old (needs >={lowest})")
    return found


def models_dir() -> Path | None:
    """The `models` folder of the ComfyUI that holds this pack, or None."""
    try:
        import folder_paths  # pyright: ignore[reportMissingImports]

        return Path(folder_paths.models_dir)
    except (ImportError, AttributeError):
        pass
    base = os.environ.get("COMFYUI_FOLDERS_BASE_PATH")  # set by ComfyUI-Manager
    if base and Path(base).is_dir():
        return Path(base) / "models"
    for start in (PACK, PACK.resolve()):
        for parent in start.parents:
            if parent.name == "custom_nodes":
                return parent.parent / "models"
    return None


def main() -> None:
    models = models_dir()
    if models is None:
        print(
            "GUDA: not inside a ComfyUI (no custom_nodes folder above), so no model folders made."
        )
    else:
        for folder in FOLDERS:
            (models / folder).mkdir(parents=True, exist_ok=True)
        print(f"GUDA: model folders ready in {models}: {', '.join(FOLDERS)}.")
    hints = problems(BROUGHT_BY_COMFYUI)
    if hints:
        hints.append("update ComfyUI, which brings these")
    ours = problems(lower_bounds())
    if ours:
        remedy = f'python -m pip install -r "{PACK / "requirements.txt"}"'
        hints += [*ours, f"with ComfyUI's Python run {remedy}"]
    print(f"GUDA: {'; '.join(hints) or 'every required package is there'}.")


if __name__ == "__main__":
    main()
