"""The recovery of finished counterfactuals, added to their certificates; see `unlearning.recovery`.

It tells nothing of the LoRA that its use depends on, so a set keeps its keys, and recoveries can be
measured whenever one likes.
"""

from __future__ import annotations

import json
from dataclasses import replace

from ..budget import footprint, warmup
from ..budget.rows import for_training
from ..config import UnlearnConfig
from ..counterfactuals import CounterfactualSet, Entry
from ..counterfactuals.held import existing
from ..counterfactuals.lora_file import note
from ..counterfactuals.manifest import save_manifest
from ..diffusion.identity import name as name_of
from ..files.lock import take
from ..groups import Group, split_heldout
from ..groups.draw import with_pictures
from ..groups.encode import encode_part
from ..settings import digest
from ..steps import Step, Steps, warn
from ..unlearning import recovery, resume
from ..unlearning.recipe import recommended
from ..unlearning.recovery import HELD, PICTURES, Recovery
from ..unlearning.relearning import Relearning
from .plan import Plan
from .unlearn import UnlearnWork


def with_recoveries(work: UnlearnWork, made: CounterfactualSet) -> Steps[CounterfactualSet]:
    """The set that `work` made, with the recovery of every counterfactual that has none yet.

    Each is written when it is known; an interrupted one goes on from its resume file.
    """
    for entry in made.entries:
        if entry.certificate is None:
            yield warn(
                f"The counterfactual {entry.name!r} was made before there were certificates, so "
                "its recovery is not measured; delete its file and unlearn it again."
            )
    if not any(map(_lacks, made.entries)):
        return made
    request, backbone, groups = work.request, work.request.backbone, work.groups
    if any(e.path is None for g in groups for e in g.examples):
        groups = with_pictures(backbone, groups, request.sampling, request.drawn)
    config = relearned(work)
    room = for_training(backbone, config, request.memory)
    learning = Relearning(backbone, config, room, recovery.LIMIT)
    known: dict[str, Entry] = {}
    with (yield from take(made.folder)) as lock:
        held = existing(lock.folder, backbone)  # others may have written since
        entries = {e.name: e for e in held.entries}
        for name in made.names:
            entry = entries[name]
            if _lacks(entry) and entry.certificate is not None:
                lora = held.load(entry, backbone)
                kept = lock.folder / f"{entry.slug}.recovery{resume.ENDING}"
                key = digest(entry.key, name_of(held.identity), config.as_key(), learning.limit)
                # of this run, as the entry's key has it; the set notes that of its last one
                parts = _parts(work, groups[name], request.recipe.heldout)
                measured = yield from learning.recover(lora, *parts, resume.Place(kept, key))
                lock.check()
                entry = _noted(held, entry, measured)
                entries[name] = entry
                held = replace(held, entries=tuple(entries.values()))
                save_manifest(held)
                resume.remove(kept)
            known[name] = entry
    return replace(made, entries=tuple(known.values()))


def relearned(work: UnlearnWork) -> UnlearnConfig:
    """What suits the model, whatever its LoRAs were made with, so that these can be compared."""
    recipe = recommended(work.request.backbone)
    return recipe.replace(modules="all") if recipe.modules == "full" else recipe


def missing(work: UnlearnWork) -> int:
    """How many `with_recoveries` would measure."""
    left = {group.name for group, _ in work.left}
    held = {e.name: e for e in existing(work.making.folder, work.request.backbone).entries}
    names = (g.name for g in work.making.chosen)
    return sum(name in left or _lacks(held.get(name)) for name in names)


def priced(price: Steps[Plan], work: UnlearnWork) -> Steps[Plan]:
    """A price with the recoveries that are missing, which are measured afterwards."""
    plan, styles = (yield from price), missing(work)
    if not styles:
        return plan
    backbone, config = work.request.backbone, relearned(work)
    yield Step("plan", 0, 1)
    room = for_training(backbone, config, work.request.memory)
    forward, both = warmup.training(backbone, config, room)
    memory = footprint.training(backbone, config, room.rows, checkpointing=room.recompute)
    yield Step("plan", 1, 1)
    asked = styles * recovery.evaluations(config, recovery.LIMIT)
    trained = styles * recovery.trained(config, recovery.LIMIT)
    seconds = forward * (asked - trained) + both * trained
    state = 3 * (memory.lora // 2 + (64 << 10))  # a LoRA and its moments, of one at a time
    return plan.plus(
        {"recover": asked},
        seconds,
        memory,
        checkpointing=plan.checkpointing or room.recompute,
        disk=plan.disk + state,
        at_most=True,
    )


def _lacks(entry: Entry | None) -> bool:
    return entry is None or (entry.certificate is not None and entry.certificate.recovery is None)


def _parts(work: UnlearnWork, group: Group, share: float):
    """The style's pictures and the same in a look that was never there, encoded."""
    backbone = work.request.backbone
    train, held = split_heldout(group, share)
    some = (backbone, group, train[:PICTURES], held[:HELD])
    return encode_part(*some), encode_part(*some, recovery.turned)


def _noted(made: CounterfactualSet, entry: Entry, measured: Recovery) -> Entry:
    """The entry with its recovery, which is written into the LoRA's file."""
    assert entry.certificate is not None
    certificate = replace(entry.certificate, recovery=measured)
    told = {"guda.certificate": json.dumps(certificate.as_dict(entry.gate))}
    note(made.path(entry), told)
    return replace(entry, certificate=certificate)
