"""What a job will take, before it runs: steps, UNet evaluations, time, memory, disk.

An evaluation is one noisy picture through the UNet; a backward pass is not counted as another.
Evaluations are exact. Time comes from a warm-up, in which the real UNet works a few times on as
many pictures at once as the job will give it; memory is counted (see `footprint`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..budget import footprint, rows, warmup
from ..budget.footprint import Footprint
from ..counterfactuals.make import chosen_groups, unfinished
from ..groups import Group, StyleGroups, prompts, split_heldout
from ..groups.draw import generate_pictures, missing
from ..groups.encode import few
from ..scoring import allocation, explains
from ..scoring.elbo import Query
from ..steps import Step, Steps, about, drain, keeps_warnings
from ..unlearning.gate import LEVELS, MOST
from ..variants import OPERATORS
from .attribute import AttributeRequest, few_asked
from .unlearn import UnlearnRequest

MOST_CHECKED = explains.MOST * len(explains.LEVELS)
REPORT_BYTES = 3 << 20  # of a report, per picture; about


@dataclass(frozen=True)
class Plan:
    """What is left to do, without what is finished already."""

    steps: int  # of the optimizer
    evaluations: Mapping[str, int]  # stage -> pictures through the UNet
    seconds: float
    memory: Footprint | None  # None when there is nothing to do
    checkpointing: bool
    device: str
    disk: int  # bytes, at most
    reused: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return sum(self.evaluations.values())

    def as_dict(self) -> dict:
        return {
            "steps": self.steps,
            "unet_evaluations": dict(self.evaluations) | {"total": self.total},
            "seconds": round(self.seconds, 1),
            "memory_bytes": self.memory.total if self.memory else 0,
            "pictures_at_once": self.memory.rows if self.memory else 0,
            "gradient_checkpointing": self.checkpointing,
            "device": self.device,
            "disk_bytes": self.disk,
            "reused": self.reused,
            "warnings": self.warnings,
        }

    def __str__(self) -> str:
        if self.memory is None:
            return f"Nothing to do: {self.reused}."
        stages = ", ".join(f"{n} {stage}" for stage, n in self.evaluations.items() if n)
        parts = [f"{self.steps} optimizer steps"] if self.steps else []
        parts += [
            f"{self.total} UNet evaluations ({stages})",
            f"about {duration(self.seconds)}",
            f"{amount(self.memory.total)} of memory on {self.device} with {self.memory.rows} "
            f"pictures at once{' and gradient checkpointing' if self.checkpointing else ''}",
            f"up to {amount(self.disk)} of disk",
        ]
        return "; ".join(parts) + (f". {self.reused}." if self.reused else ".")


@keeps_warnings
def plan_unlearn(request: UnlearnRequest) -> Steps[Plan]:
    """What `pipeline.unlearn` will take; raises what it would raise on bad input."""
    backbone, config = request.backbone, request.recipe
    everything = chosen_groups(request.groups, request.names)
    groups, undrawn, left = _work_left(request)
    yield from about(backbone, request.groups)
    yield from prompts.warnings(backbone, prompts.of_groups(groups))
    reused = _reused(everything, left, undrawn, sum(len(g.examples) for g in groups))
    if not left:
        return Plan(0, {}, 0.0, None, False, str(backbone.device), 0, reused)
    some = few(backbone, groups, explains.MOST)
    if some is None:  # what is drawn will be looked at as well
        checked = MOST_CHECKED + (yield from explains.check_reading(backbone))
    else:
        checked = yield from explains.check(backbone, Query(*some))
    steps = sum(config.total_steps - done for _, done in left)
    n, m = config.batch_size, config.retain_batch_size
    per_step = OPERATORS[config.operator].evaluations(n, m, backbone.conditional)
    gates = sum(_gate(groups, group, config.heldout) for group, _ in left)
    drawing = undrawn * request.sampling.steps * (2 if backbone.conditional else 1)
    yield Step("plan", 0, 3)
    encoding = warmup.picture(backbone)
    yield Step("plan", 1, 3)
    ready = rows.for_training(backbone, config, request.memory)
    yield Step("plan", 2, 3)
    forward, both = warmup.training(backbone, config, ready)
    memory = footprint.training(
        backbone, config, ready.room.rows, checkpointing=ready.checkpointing
    )
    yield Step("plan", 3, 3)
    trained = n + m
    pictures = sum(len(g.examples) for g in groups)
    seconds = (
        forward * (drawing + checked + gates + steps * (per_step - trained))
        + both * steps * trained
        + encoding * (pictures + 2 * undrawn)
    )
    lora = memory.optimizer // 2
    return Plan(
        steps,
        {"pictures": drawing, "check": checked, "unlearn": steps * per_step, "gate": gates},
        seconds,
        memory,
        ready.checkpointing,
        str(backbone.device),
        (len(left) + 6) * config.repeats * (lora + (64 << 10))
        + undrawn * 3 * backbone.resolution**2,
        reused,
    )


@keeps_warnings
def plan_attribute(request: AttributeRequest) -> Steps[Plan]:
    """What `pipeline.attribute` will take."""
    backbone, config = request.backbone, request.config
    found = request.counterfactuals
    found.verify(backbone)
    yield from about(backbone, found)
    yield from prompts.warnings(backbone, request.prompts)
    loras = [found.load(e, backbone) for e in found.entries]
    latents = request.latents
    shape = None if latents is None else latents.shape[1:]
    images = len(request.pictures) if latents is None else len(latents)
    points = allocation.evaluations(config, backbone.schedule.length)
    evaluations = images * points * (len(loras) + 1)
    checked = yield from explains.check(backbone, few_asked(request, explains.MOST))
    yield Step("plan", 0, 2)
    encoding = warmup.picture(backbone)
    yield Step("plan", 1, 2)
    most = min(config.batch_size, images * config.evaluations)
    room = rows.for_scoring(backbone, loras[0], most, shape)
    forward = warmup.scoring(backbone, loras[0], room, shape)
    memory = footprint.scoring(backbone, loras[0], room.rows, shape)
    yield Step("plan", 2, 2)
    return Plan(
        0,
        {"check": checked, "score": evaluations},
        forward * (checked + evaluations) + encoding * images,
        memory,
        False,
        str(backbone.device),
        images * REPORT_BYTES,
    )


def _work_left(request: UnlearnRequest) -> tuple[StyleGroups, int, list[tuple[Group, int]]]:
    """The groups, the pictures still to draw, and the unfinished groups with their steps so far."""
    backbone, groups = request.backbone, request.groups
    if any(e.path is None for g in groups for e in g.examples):
        undrawn = missing(backbone, groups, request.sampling, request.drawn)
        if undrawn:  # new pictures make every counterfactual anew
            return groups, undrawn, [(g, 0) for g in chosen_groups(groups, request.names)]
        groups = drain(generate_pictures(backbone, groups, request.sampling, request.drawn))
    left = unfinished(backbone, groups, request.recipe, request.out, request.names)
    return groups, 0, left


def _reused(everything: list[Group], left: list, undrawn: int, pictures: int) -> str:
    finished, begun = len(everything) - len(left), sum(1 for _, done in left if done)
    parts = []
    if finished:
        parts.append(f"{finished} of {len(everything)} styles are finished already")
    if begun:
        parts.append(f"{sum(done for _, done in left)} steps of {begun} style(s) are done already")
    if 0 < undrawn < pictures:
        parts.append(f"{pictures - undrawn} of {pictures} pictures are drawn already")
    return ", ".join(parts)


def _gate(groups: StyleGroups, group: Group, share: float) -> int:
    held = {g.name: len(split_heldout(g, share)[1]) for g in groups}
    own = held.pop(group.name)
    return 2 * len(LEVELS) * (min(MOST, own) + min(MOST, sum(held.values())))


def duration(seconds: float) -> str:
    """For example "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def amount(size: int) -> str:
    """For example "27 MB", "1.8 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
