"""Measure the demo model and what GUDA says on it; prints the numbers that the README quotes.

    python training/evaluate.py --data training/data --work training/work

1. A contact sheet (subjects x styles) and, on 200 generated pictures, how often a small classifier
   trained on the designers' real pictures names the prompted style.
2. Directly, and with the demo's recipe: on 60 generated pictures and on 60 real pictures of
   subjects that the model never saw, how often the prompted (or true) style ranks first. Real
   pictures are given with what they show, without a style ("fox"), and with no prompt at all.
   `--directly` leaves the unlearning and the first part out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guda import demo
from guda.backbone.files.load import DEMO, load
from guda.backbone.stable_diffusion import StableDiffusion
from guda.config import STARTS, ElboConfig, SampleConfig, UnlearnConfig
from guda.counterfactuals import CounterfactualSet
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.demo.run import draw
from guda.diffusion import Backbone
from guda.groups import pictures
from guda.jobs.attribute import AttributeRequest, attribute
from guda.jobs.unlearn import UnlearnRequest, unlearn
from guda.report.heatmap import to_image
from guda.scoring.verdict import Attribution, Outcome
from guda.steps import drain

STYLES = demo.STYLES
SHEET = (
    "grinning face",
    "cat face",
    "octopus",
    "hamburger",
    "rocket",
    "house",
    "sunflower",
    "fox",
)


def rows(data: Path, split: str, group: str) -> list[dict]:
    """The metadata of one group's pictures, with their paths."""
    folder = data / split / group
    lines = (folder / "metadata.jsonl").read_text("utf-8").splitlines()
    return [(row := json.loads(x)) | {"path": folder / row["file_name"]} for x in lines]


class Classifier(nn.Module):
    """Four convolutions and a mean: enough to tell the five design teams apart."""

    def __init__(self, classes: int):
        super().__init__()
        widths, layers = (3, 24, 48, 64, 96), []
        for i, o in itertools.pairwise(widths):
            layers += [nn.Conv2d(i, o, 3, stride=2, padding=1), nn.BatchNorm2d(o), nn.ReLU()]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(2 * widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return self.head(torch.cat([z.mean((2, 3)), z.amax((2, 3))], 1))


def train_classifier(
    backbone: StableDiffusion, data: Path, epochs: int = 30
) -> tuple[Classifier, float]:
    """Trained on the real training pictures; its accuracy on the held-out subjects.

    Half of what it sees went through the model's VAE, so that it learns the style and not the blur.
    """
    torch.manual_seed(0)

    def load_split(split: str) -> tuple[Tensor, Tensor]:
        found = [(r["path"], k) for k, g in enumerate(STYLES) for r in rows(data, split, g)]
        x = torch.stack([pictures.load(path) for path, _ in found])
        return x, torch.tensor([k for _, k in found])

    (x, y), (x_held, y_held) = load_split("train"), load_split("heldout")
    blurred = torch.cat([backbone.decode(backbone.encode_images(part)) for part in x.split(64)])
    net = Classifier(len(STYLES))
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
    steps = epochs * (len(x) // 64)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(steps):
        i = torch.randint(len(x), (64,))
        seen = blurred[i] if torch.rand(()) < 0.5 else x[i]
        seen = seen.flip(3) if torch.rand(()) < 0.5 else seen
        batch = torch.roll(seen, torch.randint(-3, 4, (2,)).tolist(), (2, 3))
        loss = F.cross_entropy(net(batch), y[i], label_smoothing=0.05)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        rate.step()
    net.eval()
    with torch.no_grad():
        held = (net(x_held).argmax(1) == y_held).float().mean().item()
    return net, held


def contact_sheet(backbone: Backbone, path: Path) -> None:
    """Subjects across, styles down, enlarged."""
    prompts = [f"{c}, in {s} style" for s in STYLES.values() for c in SHEET]
    drawn = drain(draw(backbone, prompts, SampleConfig(seed=5)))
    side = drawn.shape[-1]
    grid = drawn.view(len(STYLES), len(SHEET), 3, side, side).permute(2, 0, 3, 1, 4)
    image = to_image(grid.reshape(3, len(STYLES) * side, len(SHEET) * side))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize((image.width * 2, image.height * 2), 1).save(path)


@torch.no_grad()
def prompted_style(backbone: Backbone, net: Classifier, data: Path, n: int = 200) -> float:
    """Share of n generated pictures whose prompted style the classifier names."""
    contents = [r["content"] for r in rows(data, "train", "Twemoji")]
    chosen = random.Random(1).sample(contents, n // len(STYLES))
    prompts = [f"{c}, in {s} style" for s in STYLES.values() for c in chosen]
    drawn = drain(draw(backbone, prompts, SampleConfig(seed=2)))
    named = net(drawn).argmax(1).view(len(STYLES), -1)
    right = named == torch.arange(len(STYLES))[:, None]
    for group, share in zip(STYLES, right.float().mean(1).tolist(), strict=True):
        print(f"  {group}: {share:.0%}")
    return right.float().mean().item()


def ask(
    backbone: Backbone,
    made: CounterfactualSet | DirectCounterfactuals,
    images: list[Tensor],
    prompts: list[str],
    config: ElboConfig,
) -> Attribution:
    names = [f"{i}" for i in range(len(images))]
    return drain(attribute(AttributeRequest(backbone, made, images, names, prompts, config)))


def first(attribution: Attribution, truth: list[str]) -> str:
    """How often the truth ranks first, and is the verdict, as text."""
    n = len(truth)
    top = sum(i.scores[0].group == t for i, t in zip(attribution.images, truth, strict=True))
    told = [i.outcome == Outcome.STYLE for i in attribution.images]
    right = sum(
        n and i.scores[0].group == t
        for i, n, t in zip(attribution.images, told, truth, strict=True)
    )
    named = sum(told)
    return f"{top}/{n} = {top / n:.0%} rank first; verdict given for {named}, right for {right}"


def generated_questions(
    backbone: Backbone, data: Path, n: int, seed: int
) -> tuple[list[Tensor], list[str], list[str]]:
    """n generated pictures of contents that are not in the demo's groups."""
    contents = [r["content"] for r in rows(data, "train", "Twemoji")]
    contents = [c for c in contents if c not in demo.CONTENTS]
    chosen = random.Random(seed).sample(contents, n)
    truth = [list(STYLES)[i % len(STYLES)] for i in range(n)]
    prompts = [f"{c}, in {STYLES[g]} style" for c, g in zip(chosen, truth, strict=True)]
    return list(drain(draw(backbone, prompts, SampleConfig(seed=seed)))), prompts, truth


def real_questions(data: Path, part: slice) -> tuple[list[Tensor], list[str], list[str]]:
    """One picture per held-out subject, the styles in turn."""
    per_group = {g: rows(data, "heldout", g) for g in STYLES}
    order = list(range(len(per_group["Twemoji"])))
    random.Random(0).shuffle(order)
    truth = [list(STYLES)[i % len(STYLES)] for i in range(len(order))]
    picked = [per_group[g][i] for g, i in zip(truth, order, strict=True)][part]
    images = [pictures.load(r["path"], 64) for r in picked]
    return images, [r["content"] for r in picked], truth[part]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parent
    parser.add_argument("--data", type=Path, default=here / "data")
    parser.add_argument("--work", type=Path, default=here / "work")
    parser.add_argument("--sheet", type=Path, default=here.parent / "docs/images/styles.png")
    parser.add_argument("--directly", action="store_true", help="direct answers alone")
    parser.add_argument("--start", choices=STARTS, default="zero", help="where LoRAs begin")
    args = parser.parse_args()
    if not (args.data / "train").is_dir():
        from emoji import build

        build(args.data)
    backbone = load(DEMO)
    if not args.directly:
        contact_sheet(backbone, args.sheet)
        net, held = train_classifier(backbone, args.data)
        print(f"classifier on real pictures of held-out subjects: {held:.1%}")
        share = prompted_style(backbone, net, args.data)
        print(f"prompted style named on 200 generated pictures: {share:.1%}")

    config = ElboConfig()
    at_once = DirectCounterfactuals.of(demo.groups())
    ways: dict[str, CounterfactualSet | DirectCounterfactuals] = {"directly": at_once}
    if not args.directly:
        recipe = UnlearnConfig(start=args.start)
        request = UnlearnRequest(backbone, demo.groups(), args.work / "demo-set", recipe)
        made = drain(unlearn(request))
        for entry in made.entries:
            print(f"  without {entry.name}: {entry.gate.reason}")
        ways["with LoRAs"] = made
    drawn, prompts, drawn_in = generated_questions(backbone, args.data, 60, seed=3)
    real, contents, real_in = real_questions(args.data, slice(60))
    plain = [p.rsplit(", in ", 1)[0] for p in prompts]
    for kind, images, asked, truth in (
        ("60 generated pictures, full prompt", drawn, prompts, drawn_in),
        ("60 generated pictures, prompt without the style", drawn, plain, drawn_in),
        ("60 real held-out pictures, prompt without a style", real, contents, real_in),
        ("60 real held-out pictures, no prompt", real, [""], real_in),
    ):
        for how, without in ways.items():
            answer = ask(backbone, without, images, asked, config)
            print(f"{kind}, {how}: {first(answer, truth)}", flush=True)


if __name__ == "__main__":
    main()
