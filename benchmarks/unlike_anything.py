"""How are pictures told that are unlike anything that the model explains, and how often wrongly?

    python benchmarks/unlike_anything.py --data DIR --outside DIR [DIR ...] [--out DIR]

Folders and --out are those of benchmarks/false_names.py. Number of bands and ridge are chosen on
pieces of eight pictures that come with scikit-image, together with real pictures in the styles and
drawn ones; reported are pieces of seven others, scikit-learn's two photographs, and pictures in
the styles that were kept aside. The cut is no choice: at most 5 % with 90 % confidence.
Needs scikit-image.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from on_pictures import (
    Bench,
    Scored,
    Source,
    bound,
    contents_of,
    crops,
    in_turn,
    joined,
    options,
    real_ones,
    split_by_style,
)

from guda.cli import Progress
from guda.scoring import conformal, standing

CHOICE = ("astronaut", "brick", "camera", "coins", "hubble_deep_field", "page", "retina", "rocket")
REPORT = ("chelsea", "coffee", "grass", "gravel", "immunohistochemistry", "moon", "text")
EACH = 6  # pieces of a picture
BANDS, RIDGES = (1, 2, 3, 4, 6, 8), (0.1, 0.25, 0.5, 1.0)


def pieces(bench: Bench, names: Sequence[str], title: str) -> Scored:
    """Scores of square pieces of scikit-image's pictures."""
    from skimage import color, data, util

    def shown() -> torch.Tensor:
        cut = []
        for i, name in enumerate(names):
            image = getattr(data, name)()
            image = image[0] if isinstance(image, tuple) else image
            image = util.img_as_ubyte(image if image.ndim == 3 else color.gray2rgb(image))
            cut.append(crops(image[:, :, :3], random.Random(i), EACH))
        return torch.cat(cut)

    count = EACH * len(names)
    return bench.scored(Source(f"scikit-image, {title}", shown, ["a photograph"] * count))


def unlike(reference: Scored, asked: Scored, bands: int, ridge: float) -> np.ndarray:
    """Which of the asked lie further from the reference than all but a few of it do."""
    errors = (standing.bands(s.full, bands) for s in (reference, asked))
    own, far = standing.distances(*errors, ridge)
    rank = conformal.largest_rank(len(own))
    return conformal.p_values(own, far) * (len(own) + 1) <= rank


def share(told: np.ndarray) -> str:
    return f"{told.mean():.0%} [{bound(int(told.sum()), len(told)):.0%}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options(parser)
    args = parser.parse_args()
    with Progress() as progress:
        bench = Bench(args.out, progress)
        contents = contents_of(args.data)

        def drawn(name: str, those: slice, seed: int, styled: bool) -> Scored:
            some = contents[those]
            shown = bench.drawn(name, in_turn(some)[0] if styled else some, seed)
            return bench.scored(Source(f"{name}, content", shown, some))

        real, others, far = real_ones(bench, args.data, args.outside)
        chosen = pieces(bench, CHOICE, "choice")
        kept = {"scikit-image, seven others": pieces(bench, REPORT, "report")}
        inside = drawn("choice, in a style", slice(400, 520), 12, True)
        pool = joined([drawn("pool", slice(520, 720), 21, False), inside.part(slice(50))])
        free = drawn("choice, no style", slice(300), 11, False)
        kept |= {"scikit-learn's two": far["photographs"], "noise": far["noise"]}
        kept |= {"flat colours": far["flat colours"]}
        kept |= {f"icons, {name}": scored for name, scored in others.items()}
        kept |= {"drawn in a style": drawn("in a style", slice(80), 23, True)}
        kept |= {"drawn without a style": drawn("no style", slice(300, 400), 22, False)}
    like, rest = split_by_style(real)
    kept |= {"real, in a style": rest.part(np.arange(len(rest.full)) % 2 == 1)}
    rest = rest.part(np.arange(len(rest.full)) % 2 == 0)
    against = {"a drawn pool": (pool, joined([inside.part(slice(50, None)), free])),
               "a real pool": (like, rest)}  # fmt: skip
    print("| choosing: bands, ridge | against | foreign | of the pool's kind |\n|---|---|---|---|")
    for bands in BANDS:
        for ridge in RIDGES:
            for title, (reference, own) in against.items():
                cells = (share(unlike(reference, s, bands, ridge)) for s in (chosen, own))
                print(f"| {bands}, {ridge} | {title} | {' | '.join(cells)} |")
    print(f"\n| reported, {standing.BANDS}, {standing.RIDGE} | n | {' | '.join(against)} |")
    print("|---|---|---|---|")
    for title, scored in kept.items():
        told = (unlike(ref, scored, standing.BANDS, standing.RIDGE) for ref, _ in against.values())
        print(f"| {title} | {len(scored.full)} | {' | '.join(map(share, told))} |")


if __name__ == "__main__":
    main()
