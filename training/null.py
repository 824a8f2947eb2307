"""The null pool that comes with the built-in model: what the demo's verdicts are held against.

    python training/null.py --data DIR [--prompts content --out FILE]

DIR is a folder as training/emoji.py makes it: its subjects are what the pictures show, but for
those that the demo asks about. 200 pictures without a style and 50 in the demo's five are drawn
by the model and scored directly, with a style's name in the prompt as in the demo's questions,
into guda/demo/null.json. Goes on from what is there; ten minutes on one core. Prints how many of
the pictures in the demo's styles get a name. Other prompts and another file are for comparison.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guda import demo
from guda.backbone.files.load import DEMO, load
from guda.cli import Progress
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.jobs.null import NullRequest, null
from guda.scoring.null import FORMS, Compared
from guda.steps import drain


def contents(data: Path) -> list[str]:
    """In an order by chance."""
    lines = [(data / s / "Twemoji/metadata.jsonl").read_text("utf-8") for s in ("train", "heldout")]
    shown = {json.loads(line)["content"] for part in lines for line in part.splitlines()}
    left = sorted(shown - set(demo.QUESTIONS))
    random.Random(0).shuffle(left)
    return left


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prompts", choices=FORMS, default="named")
    parser.add_argument("--out", type=Path, default=demo.NULL)
    args = parser.parse_args()
    styles = DirectCounterfactuals.of(demo.groups())
    shown = contents(args.data)
    told = {"forms": (args.prompts,), "contents": shown}
    asked = NullRequest(load(DEMO), styles, args.out, **told)
    with Progress() as progress:
        pool = drain(null(asked), progress)
    print(pool.counts())
    print(f"named: {Compared.of(pool, args.prompts, list(demo.STYLES)).named_share():.0%}")


if __name__ == "__main__":
    main()
