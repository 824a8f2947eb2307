"""How long a new user waits for the first answer: from the command to the table, imports and all.

    python benchmarks/first_answer.py [--styles 5 20 60] [--rounds 3]

Each is a run of `python -m guda attribute` on the built-in model with one picture of the demo and
that many styles, in a process of its own; printed is the median of the rounds. The styles that the
model does not know cost what the others do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guda import demo
from guda.backbone.files.load import DEMO, load
from guda.config import DIRECT_EVALUATIONS, SampleConfig
from guda.groups.draw import draw
from guda.steps import drain

ROOT = Path(__file__).resolve().parents[1]


def picture(folder: Path) -> Path:
    """One that the built-in model draws."""
    prompt = f"fox, in {next(iter(demo.STYLES.values()))} style"
    drawn = drain(draw(load(DEMO), [prompt], SampleConfig(steps=10)))
    path = folder / "fox.png"
    pixels = (drawn[0].permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(pixels).save(path)
    return path


def styles(folder: Path, count: int) -> Path:
    known = list(demo.STYLES.items())
    more = [(f"Style {k}", f"number {k}") for k in range(count - len(known))]
    path = folder / f"styles-{count}.txt"
    lines = [f"{name}: {phrase}" for name, phrase in [*known, *more][:count]]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def waited(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--styles", type=int, nargs="+", default=[5, 20, 60])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shown = picture(folder)
        for count in args.styles:
            command = [sys.executable, "-m", "guda", "attribute", "--model", "demo"]
            command += ["--styles", str(styles(folder, count)), "--image", str(shown)]
            command += ["--prompt", "fox", "--out", str(folder / f"answer-{count}")]
            seconds = [waited(command) for _ in range(args.rounds)]
            evaluations = DIRECT_EVALUATIONS * (count + 1)
            print(
                f"{count} styles, {evaluations} evaluations: first answer after "
                f"{statistics.median(seconds):.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
