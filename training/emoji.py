"""Rebuild the demo model's pictures: the same subjects drawn by five design teams.

    python training/emoji.py --out training/data
    python training/emoji.py --out training/bench --sets benchmark     and training/bench/base

The icon sets come from npm (`@iconify-json/*`), subject names and categories from
`emoji-datasource`; the pictures are rendered here and never committed. The result is a folder of
style groups that `guda` itself can read, once for training and once for the held-out subjects:

    <out>/train/<Group>/<subject>.png     <out>/heldout/<Group>/<subject>.png
    <out>/<split>/<Group>/metadata.jsonl  {"file_name", "text", "content", "category"}
    <out>/<split>/groups.json             style phrases and the prompt template
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import resvg_py
from PIL import Image

PIXELS = 64
MARGIN = 2
HELDOUT_PERCENT = 10
TEMPLATE = "{content}, in {style} style"


@dataclass(frozen=True)
class IconSet:
    """One style: the group's name, its npm package, the phrase that prompts use, its designers."""

    group: str
    package: str
    phrase: str
    credit: str
    licence: str


STYLES = (
    IconSet("Noto Blob", "noto-v1", "noto blob", "Google Inc. (Noto Emoji)", "Apache-2.0"),
    IconSet("EmojiOne", "emojione", "emojione", "Emoji One / EmojiTwo", "CC-BY-4.0"),
    IconSet("Fluent", "fluent-emoji", "fluent", "Microsoft Corporation (Fluent Emoji)", "MIT"),
    IconSet(
        "Fluent Ink",
        "fluent-emoji-high-contrast",
        "ink",
        "Microsoft Corporation (Fluent Emoji High Contrast)",
        "MIT",
    ),
    IconSet("Twemoji", "twemoji", "twemoji", "Twitter, Inc. and contributors", "CC-BY-4.0"),
)

# For `guda bench styles`: a line style, and one (flat Fluent) close to another. OpenMoji is
# share-alike, so nothing that is published learns from it.
BENCHMARK = (
    *STYLES[1:],
    IconSet(
        "Fluent Flat", "fluent-emoji-flat", "flat", "Microsoft Corporation (Fluent Flat)", "MIT"
    ),
    IconSet("OpenMoji", "openmoji", "openmoji", "OpenMoji project", "CC-BY-SA-4.0"),
)
SETS = {"demo": STYLES, "benchmark": BENCHMARK}

# What the benchmark's models know before they learn those styles: other hands, the same subjects.
BASE = (
    IconSet("Noto", "noto", "noto", "Google Inc. (Noto Emoji)", "Apache-2.0"),
    STYLES[0],
    IconSet("FxEmojis", "fxemoji", "fxemoji", "Mozilla (FxEmojis)", "Apache-2.0"),
)

# Text, arrows and plain geometry are the same drawing in every set, so they teach no style.
SKIPPED = {
    "keycap", "other-symbol", "alphanum", "transport-sign", "av-symbol", "geometric", "warning",
    "arrow", "punctuation", "math", "currency", "zodiac", "religion", "time", "game",
}  # fmt: skip


@dataclass(frozen=True)
class Subject:
    icon: str
    content: str
    category: str
    heldout: bool


def install(work: Path, styles: tuple[IconSet, ...]) -> Path:
    """Fetch the packages with npm into `work`; returns its node_modules."""
    work.mkdir(parents=True, exist_ok=True)
    (work / "package.json").write_text('{"private": true}')
    packages = {f"@iconify-json/{s.package}" for s in styles}
    packages |= {"@iconify-json/twemoji", "emoji-datasource"}  # the subjects' names
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm was not found: install Node.js, which carries it, and run again.")
    subprocess.run(
        [npm, "install", "--silent", "--no-audit", *sorted(packages)], cwd=work, check=True
    )
    return work / "node_modules"


def load_icons(modules: Path, package: str) -> dict:
    return json.loads((modules / "@iconify-json" / package / "icons.json").read_text("utf-8"))


def subjects(modules: Path, styles: tuple[IconSet, ...]) -> list[Subject]:
    """The subjects drawn in every set, in emoji-datasource's order, with the held-out split."""
    sets = [load_icons(modules, s.package) for s in styles]
    shared = set.intersection(*({*s["icons"], *s.get("aliases", {})} for s in sets))
    chars = json.loads((modules / "@iconify-json/twemoji/chars.json").read_text("utf-8"))
    found: dict[str, Subject] = {}
    for emoji in json.loads((modules / "emoji-datasource/emoji.json").read_text("utf-8")):
        code = emoji["unified"].lower()
        names = [
            chars.get(code) or chars.get(code.replace("-fe0f", "")),
            re.sub(r"[^a-z0-9]+", "-", emoji["name"].lower()),
            emoji["short_name"].replace("_", "-"),
        ]
        icon = next((n for n in names if n in shared), None)
        if icon is None or icon in found or emoji["subcategory"] in SKIPPED:
            continue
        digest = hashlib.sha256(icon.encode()).digest()
        category = emoji["subcategory"].replace("-", " ").replace("&", "and")
        found[icon] = Subject(
            icon, icon.replace("-", " "), category, digest[0] * 100 < HELDOUT_PERCENT * 256
        )
    return list(found.values())


def render(icons: dict, name: str, pixels: int = PIXELS) -> Image.Image:
    """One icon on white, RGB, `pixels` square with a small margin."""
    hops = 0
    while name not in icons["icons"] and hops < 5:
        name, hops = icons["aliases"][name]["parent"], hops + 1
    icon = icons["icons"][name]
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    side = max(width, height) * pixels / (pixels - 2 * MARGIN)
    left = icon.get("left", 0) - (side - width) / 2
    top = icon.get("top", 0) - (side - height) / 2
    for scale in (4, 8, 5, 1):  # resvg's filters panic at some sizes
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{left} {top} {side} {side}" width="{pixels * scale}" '
            f'height="{pixels * scale}">{icon["body"]}</svg>'
        )
        try:
            png = bytes(resvg_py.svg_to_bytes(svg_string=svg))
            break
        except BaseException as error:  # pyo3's PanicException is not an Exception
            if not type(error).__name__ == "PanicException":
                raise
    drawn = Image.open(io.BytesIO(png)).convert("RGBA")
    canvas = Image.new("RGBA", drawn.size, "white")
    canvas.alpha_composite(drawn)
    return canvas.convert("RGB").resize((pixels, pixels), Image.Resampling.LANCZOS)


def build(out: Path, pixels: int = PIXELS, styles: tuple[IconSet, ...] = STYLES) -> dict[str, int]:
    """Write both splits under `out`; returns the number of subjects in each."""
    modules = install(out / "npm", styles)
    chosen = subjects(modules, styles)
    counts = {"train": 0, "heldout": 0}
    for style in styles:
        icons = load_icons(modules, style.package)
        rows: dict[str, list[str]] = {"train": [], "heldout": []}
        for subject in chosen:
            split = "heldout" if subject.heldout else "train"
            folder = out / split / style.group
            folder.mkdir(parents=True, exist_ok=True)
            render(icons, subject.icon, pixels).save(folder / f"{subject.icon}.png")
            rows[split].append(
                json.dumps(
                    {
                        "file_name": f"{subject.icon}.png",
                        "text": TEMPLATE.format(content=subject.content, style=style.phrase),
                        "content": subject.content,
                        "category": subject.category,
                    }
                )
            )
        for split, lines in rows.items():
            counts[split] = len(lines)
            text = "\n".join(lines) + "\n"
            (out / split / style.group / "metadata.jsonl").write_text(text, "utf-8")
    groups = {
        "template": TEMPLATE,
        "groups": {s.group: {"style": s.phrase} for s in styles},
    }
    for split in counts:
        (out / split / "groups.json").write_text(json.dumps(groups, indent=2), "utf-8")
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    parser.add_argument("--pixels", type=int, default=PIXELS)
    parser.add_argument("--sets", choices=tuple(SETS), default="demo")
    args = parser.parse_args()
    counts = build(args.out, args.pixels, SETS[args.sets])
    if args.sets == "benchmark":
        build(args.out / "base", args.pixels, BASE)
    print(f"{counts['train']} training and {counts['heldout']} held-out subjects in {args.out}")


if __name__ == "__main__":
    main()
