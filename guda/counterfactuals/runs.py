"""A set that is of several runs: between which what its styles were unlearned towards changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..unlearning.recipe import target


def of_other_options(folder: Path, recipes: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """A warning where deltas are of different things. recipes: by style, as the LoRAs note them."""
    targets = {name: target(recipe) for name, recipe in recipes.items()}
    shared = set.intersection(*map(set, targets.values())) if targets else set()
    changed = []
    for setting in sorted(shared):
        styles: dict[str, list[str]] = {}
        for name, told in targets.items():
            styles.setdefault(f"{told[setting]}", []).append(repr(name))
        if len(styles) > 1:
            each = "; ".join(f"{value} for {', '.join(names)}" for value, names in styles.items())
            changed.append(f"{setting} ({each})")
    if not changed:
        return ()
    return (
        f"{folder} is of several runs with different options: {', '.join(changed)}. Scores of the "
        "one and of the other are of different things and cannot be compared. Unlearn all of its "
        "styles again with the same options, or leave some out.",
    )
