"""How far do deltas of unlearnings from other seeds lie apart, and do the intervals say so?

    for s in 0 1 2; do python -m guda unlearn --model demo --groups guda/demo/styles \\
        --out seed$s --seed $s; done
    python benchmarks/seed_spread.py seed0 seed1 seed2

First the standard deviation between retraining seeds, as a share of a picture's typical delta (its
rms over the styles), from docs/benchmarks/styles/logo. Then, with sets, the same between them, on
pictures that the built-in model draws, and how often a set's interval has the mean of the other
sets' deltas in it, without the seeds' part and with it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from guda.backbone.files.load import DEMO, load
from guda.config import ElboConfig, SampleConfig
from guda.counterfactuals import load_set
from guda.demo import CONTENTS, STYLES
from guda.groups.draw import draw
from guda.jobs.attribute import AttributeRequest, survey
from guda.scoring.spread import ASSUMED
from guda.steps import drain

LOGO = Path(__file__).parents[1] / "docs" / "benchmarks" / "styles" / "logo"
Z = float(ndtri(0.975))


def share(deltas: np.ndarray) -> tuple[float, list[float]]:
    """Of all pictures, and of the five fifths by their typical delta; deltas: (S, I, K)."""
    variance, rms = deltas.var(0, ddof=1), np.sqrt(np.square(deltas.mean(0)).mean(1))
    fifths = np.array_split(np.argsort(rms), 5)

    def of(some: np.ndarray) -> float:
        return float(np.sqrt(variance[some].mean() / np.square(rms[some]).mean()))

    return of(np.arange(len(rms))), [of(some) for some in fifths]


def common(deltas: np.ndarray, sources: list[list[int]]) -> tuple[float, int]:
    """What the pictures of a source have in common of that, and how many sources there were.

    v = s^2 (1 / n + c^2) for the mean of n pictures, each of which has s^2 between seeds.
    """
    whole, above, typical = share(deltas)[0], [], []
    for rows in sources:
        some = deltas[:, rows]
        own, mean = some.var(0, ddof=1).mean(), some.mean(1).var(0, ddof=1).mean()
        rms = np.sqrt(np.square(some.mean(0)).mean(1)).mean()
        above.append(mean - own / len(rows))
        typical.append(np.square(whole * rms))
    return float(np.sqrt(max(0.0, np.mean(above)) / np.mean(typical))), len(sources)


def sources(kinds: list[str], styles: int) -> list[list[int]]:
    """Pictures of one kind, and of one style where they are in turn; five at least."""
    rows = []
    for kind in dict.fromkeys(kinds):
        own = [i for i, k in enumerate(kinds) if k == kind]
        rows += [own[k::styles] for k in range(styles)]
    return [r for r in rows if len(r) >= 5]


def told(name: str, deltas: np.ndarray) -> None:
    whole, fifths = share(deltas)
    print(f"| {name} | {len(deltas)} | {deltas.shape[1]} | {whole:.2f} | "
          f"{', '.join(f'{x:.2f}' for x in fifths)} |", flush=True)  # fmt: skip


def scored(folders: list[Path], count: int, evaluations: int):
    """Deltas and half widths without the seeds' part, (S, I, K) each, and the names given."""
    model = load(DEMO)
    contents = [CONTENTS[i % len(CONTENTS)] for i in range(count)]
    styles = list(STYLES.values())
    prompts = [f"{c}, in {styles[i % len(styles)]} style" for i, c in enumerate(contents)]
    pictures = list(drain(draw(model, prompts, SampleConfig(seed=7))))
    deltas, halves, named = [], [], []
    for folder in folders:
        made, config = load_set(folder), ElboConfig(evaluations=evaluations)
        request = AttributeRequest(
            model, made, pictures, [str(i) for i in range(count)], contents, config, seeds=False
        )
        answer = drain(survey(request).run())
        rows = [[image[style] for style in sorted(STYLES)] for image in answer.images]
        deltas.append([[s.delta for s in row] for row in rows])
        halves.append([[(s.high - s.low) / 2 for s in row] for row in rows])
        named.append([image.verdict for image in answer.images])
    return np.array(deltas), np.array(halves), named


def covered(deltas: np.ndarray, halves: np.ndarray, part: float) -> float:
    """How often a set's interval has the others' mean in it, that mean's own noise allowed."""
    hits, n = [], len(deltas) - 1
    for one, (mine, half) in enumerate(zip(deltas, halves, strict=True)):
        others = np.delete(deltas, one, 0).mean(0)
        seeds = part * np.sqrt(np.square(mine).mean(1, keepdims=True))
        hits.append(np.abs(mine - others) <= np.hypot(half, Z * seeds) * np.sqrt(1 + 1 / n))
    return float(np.mean(hits))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sets", type=Path, nargs="*")
    parser.add_argument("--pictures", type=int, default=30)
    parser.add_argument("--evaluations", type=int, default=32)
    args = parser.parse_args()
    print("| deltas of | seeds | pictures | share | by typical delta, smallest fifth first |")
    print("|---|---|---|---|---|")
    rows = []
    for split in ("dev", "test"):
        kept = json.loads((LOGO / f"{split}.json").read_text("utf-8"))
        told(f"retraining, {split}", np.array(kept["deltas"]))
        rows += [(np.array(kept["deltas"]), sources(kept["kinds"], len(kept["groups"])))]
    for split, (deltas, those) in zip(("dev", "test"), rows, strict=True):
        part, count = common(deltas, those)
        print(
            f"{split}: the pictures of a source have {part:.2f} of it in common ({count} sources)"
        )
    if len(args.sets) < 2:
        return
    deltas, halves, named = scored(args.sets, args.pictures, args.evaluations)
    told("LoRAs of the built-in model", deltas)
    own = share(deltas)[0]
    part, _ = common(deltas, [list(range(k, deltas.shape[1], 5)) for k in range(5)])
    print(f"\nOf it the pictures in a style have {part:.2f} in common.")
    print("\nHow often a set's 95 % interval has the mean of the others in it:")
    for name, part in (("without the seeds' part", 0.0), ("assumed", ASSUMED), ("measured", own)):
        print(f"{name} ({part:.2f}): {covered(deltas, halves, part):.2f}")
    pairs = [(x, y) for i, x in enumerate(named) for y in named[:i]]
    same = np.mean([a == b for x, y in pairs for a, b in zip(x, y, strict=True)])
    print(f"Two sets say the same of a picture: {same:.2f}.")


if __name__ == "__main__":
    main()
