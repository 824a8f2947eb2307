"""A unit of unlearning on a worker: one repetition of a style, or the style's LoRA and its gate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ..budget.rows import Rooms, for_scoring, for_training
from ..config import MemoryConfig, UnlearnConfig
from ..counterfactuals import Entry, SetWork
from ..counterfactuals.held import is_finished, resume_path
from ..counterfactuals.manifest import entry_to_json, read_manifest
from ..counterfactuals.saved import saved
from ..errors import GroupsError
from ..files import write_bytes
from ..groups.encode import EncodedGroup
from ..steps import Heard, Steps, about, warn
from ..unlearning import resume
from ..unlearning.held import MOST
from ..unlearning.train import unlearn_group
from .desk import Desk, RefusedError
from .job import Told, groups_from_json

LORA = "gate"
"""The unit that makes a style's LoRA of its repetitions; the others are their numbers."""


def perform(desk: Desk, unit: Told) -> Steps[Told]:
    """Returns `entry`, once the LoRA is there, and `files`, where the folder is not shared.

    `needs`: "states" where the folder is not shared and the unit's came without the repetitions'.
    """
    what, work = unit["what"], _work(desk)
    group, key = work.groups[what["group"]], work.keys[what["group"]]
    if entry := _finished(desk, what["group"], key):
        return {"entry": _told(entry)}
    kept, state = resume_path(desk.folder, group), what["state"]
    for name, data in what.get("files", {}).items():
        write_bytes(desk.folder / name, data)
    encoded: dict[str, EncodedGroup]
    heard = desk.kept["heard"]
    if (encoded := desk.kept.get("encoded", {})) == {}:
        encoded = desk.kept["encoded"] = yield from heard(work.encode())
    config, part = work.config, what["part"]
    rooms = Rooms(
        for_training(work.backbone, config, work.memory), for_scoring(work.backbone, None, MOST)
    )
    place = resume.Place(kept, state, None if part == LORA else part)
    asked = (work.backbone, work.groups, encoded, group.name, config, place, rooms)
    if part != LORA:
        training = unlearn_group(*asked)
        for step in training:
            if step.stage == "gate":  # the repetition is done, and its last state on disk
                break
            yield replace(step, done=max(0, step.done - part * config.steps))
        training.close()
        state = place.of_repetition(part).path
        return {} if desk.shared else {"files": {state.name: state.read_bytes()}}
    mine = Heard()
    made = yield from mine(unlearn_group(*asked))
    texts = tuple(dict.fromkeys((*heard.texts, *mine.texts)))
    collapse = yield from work.collapse(group, made)
    entry = saved(work, group, made, texts, collapse)
    told = {"entry": _told(entry)}
    if desk.shared:
        return told
    resume.remove(kept)
    return {**told, "files": {entry.file: (desk.folder / entry.file).read_bytes()}}


def _told(entry: Entry) -> Told:
    """In plain values: where this package has another name, objects of it are not understood."""
    return json.loads(json.dumps(entry_to_json(entry)))


def _work(desk: Desk) -> SetWork:
    """Of the job's set, in the desk's folder. Raises RefusedError where the pictures differ."""
    if "work" not in desk.kept:
        job, backbone = desk.job, desk.backbone
        groups = groups_from_json(job["groups"])
        try:
            hashed = groups.manifest_hash
        except GroupsError as error:
            raise RefusedError(f"the pictures of the styles are not there: {error}") from None
        if hashed != job["groups"]["hash"]:
            raise RefusedError("the pictures of the styles are others there")
        desk.kept["heard"] = heard = Heard()
        for _ in heard(about(backbone)):
            pass
        for _ in heard(warn(text) for text in job["remarks"]):
            pass
        desk.kept["work"] = SetWork(
            backbone,
            groups,
            UnlearnConfig(**job["config"]),
            desk.folder,
            MemoryConfig(**job["memory"]),
            tuple(groups),
            job["keys"],
            (),
            job["weights"],
        )
    return desk.kept["work"]


def _finished(desk: Desk, name: str, key: str) -> Entry | None:
    """What another run has made in the meantime."""
    made = read_manifest(desk.folder) if desk.shared else None
    entry = next((e for e in made.entries if e.name == name), None) if made else None
    return entry if is_finished(desk.folder, entry, key) else None


def state_files(folder: Path, group) -> dict[str, bytes]:
    """By name, what a worker that does not see `folder` needs to go on with a style."""
    return {p.name: p.read_bytes() for p in resume.repetitions(resume_path(folder, group))}
