"""Pictures that the full model draws itself, for prompt-only groups and on demand."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from torch import Tensor

from ..config import SampleConfig
from ..diffusion import Backbone
from ..diffusion.identity import name as name_of
from ..files.png import is_whole
from ..files.temporary import sweep
from ..settings import digest
from ..steps import Step, Steps, warn
from . import Example, Group, StyleGroups
from . import prompts as markup
from .pictures import save_png


def generate_pictures(
    backbone: Backbone, groups: StyleGroups, config: SampleConfig, cache: Path
) -> Steps[StyleGroups]:
    """The same groups with a picture for every example; those already in `cache` are reused.

    A picture's file name holds everything it depends on, so a changed prompt or setting makes a
    new one. A damaged one is drawn again, with a warning. Raises SaveError when the cache cannot be
    written.
    """
    wanted = _wanted(backbone, groups, config, cache)
    for folder in {path.parent for *_, path in wanted}:
        sweep(folder)
    absent = [x for x in wanted if not is_whole(x[2])]
    damaged = [path for *_, path in absent if path.exists()]
    if damaged:
        more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        yield warn(f"The generated picture {damaged[0]}{more} was damaged and is drawn again.")
    if absent:
        yield from markup.warnings(backbone, [e.prompt(g.style) for g, e, _ in wanted])
    done = 0
    for start in range(0, len(absent), config.batch_size):
        part = absent[start : start + config.batch_size]
        sampling = backbone.sample(
            [e.prompt(g.style) for g, e, _ in part],
            [f"{g.name}/{e.id}" for g, e, _ in part],
            config,
        )

        def share(rounds: int, part=part, done=done) -> Step:
            some = len(part) * min(rounds, config.steps) // config.steps
            return Step("pictures", done + some, len(absent), part[0][0].name)

        drawn = yield from reported(sampling, share)
        for picture, (_, _, path) in zip(drawn, part, strict=True):
            save_png(picture, path)
        done += len(part)
        yield Step("pictures", done, len(absent), part[-1][0].name)
    return _with(groups, wanted)


def missing(backbone: Backbone, groups: StyleGroups, config: SampleConfig, cache: Path) -> int:
    """How many pictures `generate_pictures` would draw."""
    return sum(not is_whole(path) for *_, path in _wanted(backbone, groups, config, cache))


def with_pictures(
    backbone: Backbone, groups: StyleGroups, config: SampleConfig, cache: Path
) -> StyleGroups:
    """The groups as `generate_pictures` returns them, where no picture is missing."""
    return _with(groups, _wanted(backbone, groups, config, cache))


def _with(groups: StyleGroups, wanted: list[tuple[Group, Example, Path]]) -> StyleGroups:
    paths = {(g.name, e.id): path for g, e, path in wanted}
    return StyleGroups(
        tuple(
            dataclasses.replace(
                g,
                examples=tuple(
                    dataclasses.replace(e, path=paths[g.name, e.id]) for e in g.examples
                ),
            )
            for g in groups
        ),
        groups.source,
        groups.reading,
    )


def draw(backbone: Backbone, prompts: Sequence[str], config: SampleConfig) -> Steps[Tensor]:
    """One picture per prompt, (n, 3, H, W) in [0, 1]; a repeated prompt gets another picture."""
    yield from markup.warnings(backbone, prompts)
    seen: Counter[str] = Counter()
    keys = []
    for prompt in prompts:
        keys.append(f"{prompt} #{seen[prompt] + 1}" if seen[prompt] else prompt)
        seen[prompt] += 1
    sampling = backbone.sample(prompts, keys, config)
    total = -(-len(prompts) // config.batch_size) * config.steps
    return (yield from reported(sampling, lambda done: Step("pictures", min(done, total), total)))


def reported(
    sampling: Generator[int, None, Tensor], report: Callable[[int], Step]
) -> Steps[Tensor]:
    """A backbone's sampling with its counts turned into steps."""
    while True:
        try:
            done = next(sampling)
        except StopIteration as end:
            return end.value
        yield report(done)


def _wanted(
    backbone: Backbone, groups: StyleGroups, config: SampleConfig, cache: Path
) -> list[tuple[Group, Example, Path]]:
    return [(g, e, _file(backbone, g, e, config, cache)) for g in groups for e in g.examples]


def _file(backbone: Backbone, group: Group, example, config: SampleConfig, cache: Path) -> Path:
    settings = {k: v for k, v in config.as_dict().items() if k not in ("batch_size", "pictures")}
    prompt = example.prompt(group.style)
    settings |= backbone.overrides
    if backbone.chunks([prompt]) != [1]:
        settings["prompt"] = "in chunks"  # those drawn before prompts were read whole are not
    told = (group.name, example.id, prompt, settings)
    folder = cache / group.slug
    for weights in (backbone.fingerprint, *backbone.aliases):
        earlier = folder / f"{digest(weights, *told)}.png"  # of version 0.1.0
        if earlier.is_file():
            return earlier
    return folder / f"{digest(backbone.fingerprint, *told, name_of(backbone.identity))}.png"
