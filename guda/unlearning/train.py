"""The training loop of one counterfactual, resumable at any step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch

from ..budget.rows import Rooms
from ..config import UnlearnConfig
from ..diffusion import Backbone, LoraWeights, TextEdit, recomputing
from ..diffusion.noise import seed_of
from ..diffusion.room import Room
from ..errors import DivergedError
from ..groups import StyleGroups
from ..groups.encode import EncodedGroup
from ..steps import Step, Steps
from ..variants import OPERATORS
from . import resume
from .batches import Batches, nearest_retain
from .context import anchor_context
from .gate import Gate, gate_of
from .gradient import LossScale, Student, learn
from .held import MOST
from .needs import check_needs
from .probe import Probe
from .progress import Progress
from .resume import Loss
from .seeds import seed_spread
from .start import text_edit
from .stopping import End, Ended, Watch, average, averaged, end, looks


@dataclass(frozen=True)
class Unlearned:
    """The LoRA of one group, how its losses went, and what its held-out pictures showed."""

    lora: LoraWeights
    losses: tuple[Loss, ...]
    gate: Gate
    progress: Progress
    ended: tuple[Ended, ...] = ()
    """Where every repetition ended, if that was not known before."""
    spread: float | None = None
    """How far repetitions lie apart, see `seeds`; None for a single one."""


def unlearn_group(
    backbone: Backbone,
    groups: StyleGroups,
    encoded: Mapping[str, EncodedGroup],
    name: str,
    config: UnlearnConfig,
    place: resume.Place | None = None,
    rooms: Rooms | None = None,
) -> Steps[Unlearned]:
    """Unlearn the group `name`, `config.repeats` times; yields once per step.

    place: where the state is kept every `config.checkpoint_every` steps, each repetition's in a
    file of its own; one of the same key is continued from, any other is ignored. Raises
    DivergedError when a loss is not finite; the last good state stays on disk.

    rooms: how many pictures go through the UNet at once, by default all of a step. The gradients of
    the parts add up to that of the whole, and when memory runs out the parts become smaller.
    """
    check_needs(backbone, config)
    training, room = rooms_of(backbone, config, rooms)
    batches = batches_of(backbone, groups, encoded, name, config)
    probe = watch = None
    if config.stop == "auto":
        yield Step("look", 0, 1, name)
        probe = Probe.of(backbone, batches, room)
        watch = Watch.of(probe, room, looks(config.steps), unnamed=config.text_rank > 0)
        yield Step("look", 1, 1, name)
    edit = None
    if config.text_rank:
        yield Step("start", 0, 1, name)
        edit = text_edit(backbone, batches, config.text_rank)
        yield Step("start", 1, 1, name)
    parts: list[LoraWeights] = []
    losses: list[Loss] = []
    ended: list[Ended] = []
    only = None if place is None else place.only
    for i in range(config.repeats) if only is None else (only,):
        own = config.replace(seed=(config.seed + i) % (2**53 + 1))
        weights, curve, stop = yield from train(
            backbone,
            replace(batches, config=own),
            place and place.of_repetition(i),
            training,
            i * config.steps,
            watch,
            edit,
        )
        parts.append(weights)
        ended += [stop] if watch else []
        losses += [(step + i * config.steps, forget, preserve) for step, forget, preserve in curve]
    mean = LoraWeights.mean(parts)
    yield Step("gate", 0, 1, name)
    probe = probe or Probe.of(backbone, batches, room)
    with backbone.counterfactual(mean):
        student = probe.answers(backbone, room)
    if not student.finite:
        what = "what it answers to held-out pictures is not finite"
        raise _diverged(name, config.total_steps - 1, what, config)
    gate = gate_of(backbone, groups[name], probe.errors(student), config.gate_margin)
    spread = seed_spread(backbone, probe, parts, len(groups), room)
    yield Step("gate", 1, 1, name)
    return Unlearned(mean, tuple(losses), gate, probe.progress(student), tuple(ended), spread)


def batches_of(
    backbone: Backbone,
    groups: StyleGroups,
    encoded: Mapping[str, EncodedGroup],
    name: str,
    config: UnlearnConfig,
) -> Batches:
    """What the group `name` is unlearned from."""
    neighbours = None
    if OPERATORS[config.operator].needs_neighbours:
        neighbours = nearest_retain(encoded, name, config.neighbours)
    anchors = anchor_context(backbone, groups, groups[name], config)
    return Batches(encoded, anchors, backbone.schedule, config, neighbours)


def rooms_of(backbone: Backbone, config: UnlearnConfig, rooms: Rooms | None) -> tuple[Room, Room]:
    """The room of a step, by default of all its pictures, and that of looks."""
    if rooms is None:
        rooms = Rooms(Room(config.batch_size + config.retain_batch_size, backbone.device))
    return rooms.training, rooms.gate or Room(MOST, backbone.device)


def train(
    backbone: Backbone,
    batches: Batches,
    place: resume.Place | None,
    room: Room,
    before: int,
    watch: Watch | None,
    edit: TextEdit | None = None,
) -> Steps[tuple[LoraWeights, list[Loss], Ended]]:
    """One repetition, after `before` steps of others; it ends by itself if it is watched.

    edit: what the LoRA begins with, see `start`.
    """
    config, name = batches.config, batches.group
    losses, marks = resume.Past([], [])
    scale = LossScale(next(iter(backbone.unet.parameters())).dtype)
    with ExitStack() as stack:
        seed = seed_of("lora", config.seed, name)
        lora = stack.enter_context(
            backbone.training_lora(
                modules=config.modules,
                rank=config.rank,
                alpha=config.lora_alpha,
                seed=seed,
                edit=edit,
            )
        )
        if room.recompute:
            stack.enter_context(recomputing(backbone.unet))
        student = Student(backbone, lora, config)
        parameters = lora.parameters()
        optimizer = _optimizer(student)
        if place is not None:
            losses, marks = resume.restore(place.path, place.key, parameters, optimizer)

        steps = range(len(losses), config.steps)
        why = end(marks, config.goal) if watch else None
        for step, batch in zip(steps, batches.since(steps.start, backbone), strict=False):
            if why is not None:
                break
            for param_group in optimizer.param_groups:
                param_group["lr"] = config.lr * learning_rate(step, config)
            forget, preserve = learn(student, batch, room, scale, stack)
            loss = forget + config.preserve_weight * preserve
            norm = torch.nn.utils.clip_grad_norm_(student.parameters, config.clip_norm)
            if not math.isfinite(loss + norm.item()):
                what = f"the loss is {loss}, its gradient norm {norm.item()}"
                raise _diverged(name, before + step, what, config)
            optimizer.step()
            optimizer.zero_grad()
            losses.append((step, forget, preserve))
            note = ""
            if watch is not None:
                average(optimizer, student.parameters, step + 1)
            if watch is not None and step + 1 in watch.due:
                with averaged(optimizer, student.parameters):
                    marks.append(watch.look(backbone, step + 1))
                why, note = end(marks, config.goal), str(marks[-1])
            if why is not None or _is_due(step + 1, config):
                if not all(p.isfinite().all() for p in student.parameters):
                    raise _diverged(name, before + step, "its weights are not finite", config)
                if place is not None:
                    resume.save(place.path, place.key, parameters, optimizer, losses, marks)
            done = before + step + 1
            told = (loss, forget, preserve)
            yield Step("unlearn", done, config.total_steps, name, *told, note=note)
        ended = Ended.at(len(losses), config.steps, why or End.LIMIT, marks)
        if watch is not None:
            done = before + len(losses)
            yield Step("stop", done, config.total_steps, name, note=ended.end.value)
        with averaged(optimizer, student.parameters):
            return lora.weights(), losses, ended


def _optimizer(student: Student) -> torch.optim.AdamW:
    config = student.config
    return torch.optim.AdamW(
        student.parameters,
        lr=config.lr,
        weight_decay=config.weight_decay,
        foreach=False if config.modules == "full" else None,  # else it takes another copy
    )


def _diverged(name: str, step: int, what: str, config: UnlearnConfig) -> DivergedError:
    return DivergedError(
        f"Unlearning {name!r} stopped at step {step + 1}: {what}. Lower lr (it is {config.lr:g}) "
        "and run again; what was finished before is kept."
    )


def learning_rate(step: int, config: UnlearnConfig) -> float:
    """Share of `config.lr` at `step`: linear warm-up, then a cosine down to a tenth.

    Where training ends by itself, nothing falls.
    """
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    if config.stop == "auto":
        return rise
    done = step / max(1, config.steps)
    return rise * (0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2)


def _is_due(step: int, config: UnlearnConfig) -> bool:
    return step % config.checkpoint_every == 0 or step == config.steps
