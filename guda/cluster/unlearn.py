"""Unlearning on a cluster: what is left of a set as units, and the set when they are done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..counterfactuals import CounterfactualSet, Entry, SetWork
from ..counterfactuals.held import existing, is_finished, resume_path, state_key
from ..counterfactuals.load import put_right
from ..counterfactuals.lora_file import set_damaged_aside
from ..counterfactuals.manifest import read_entry, save_manifest
from ..files import write_bytes
from ..files.lock import Lock, take
from ..groups import Group
from ..settings import digest
from ..steps import Steps, about, warn
from ..unlearning import resume
from .board import Board
from .job import Source, Told, Unit, groups_to_json, job, texts
from .marked import marked
from .units import Failure, Units
from .unlearn_unit import LORA, state_files

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class Made:
    """The finished part of a set, and what could not be made of it."""

    set: CounterfactualSet
    failures: tuple[Failure, ...]


def run(work: SetWork, client: Client, source: Source, patience: float) -> Steps[Made]:
    """Make what is left of the set on the cluster. Another run in the folder is waited for.

    Raises ClusterError where the cluster is gone; what is finished stays.
    """
    with (yield from take(work.folder)) as lock:
        held = existing(work.folder, work.backbone)
        yield from put_right(held)
        making = _Making(work, lock, {e.name: e for e in held.entries})
        units = yield from making.units()
        told = job(
            work.backbone,
            source,
            work.folder,
            patience,
            groups=groups_to_json(work.groups),
            remarks=texts(about(work.groups)),
            config=work.config.as_dict(),
            memory=work.memory.as_dict(),
            keys=dict(work.keys),
            weights=work.weights,
        )
        failures: list[Failure] = []
        if units:
            board = Board("unlearn", [*units, *making.awaited], client.dashboard_link or "")
            with marked(work.folder, told):
                running = Units(client, told, board, making.take, making.files, ahead=1)
                failures = yield from running.run(units)
        yield from about(*making.chosen)
        return Made(making.made, tuple(failures))


class _Making:
    """A set while its units are being done."""

    def __init__(self, work: SetWork, lock: Lock, entries: dict[str, Entry]):
        self._work, self._lock, self._entries = work, lock, entries
        self._open: dict[str, set[int]] = {}  # style -> its repetitions that are not done
        self._last: dict[str, Unit] = {}  # style -> the unit that ends it

    @property
    def awaited(self) -> list[Unit]:
        """Units that follow from others."""
        return [u for name, u in self._last.items() if self._open[name]]

    @property
    def chosen(self) -> tuple[Entry, ...]:
        """The finished ones of the styles that were asked for, in their order."""
        work, folder = self._work, self._work.folder
        keyed = [(self._entries.get(g.name), work.keys[g.name]) for g in work.chosen]
        return tuple(e for e, key in keyed if e is not None and is_finished(folder, e, key))

    @property
    def made(self) -> CounterfactualSet:
        return self._work.set_of(self.chosen)

    def units(self) -> Steps[list[Unit]]:
        """Those that need nothing of others; damaged files are set aside."""
        work, first = self._work, []
        for group in work.chosen:
            key, kept = work.keys[group.name], resume_path(work.folder, group)
            entry = self._entries.get(group.name)
            if is_finished(work.folder, entry, key):
                resume.remove(kept)
                continue
            state = state_key(kept, key, work.identity)
            for text in (
                *(set_damaged_aside(work.folder / entry.file) if entry else ()),
                *resume.settle(kept, state),
            ):
                yield warn(text)
            repeats = range(work.config.repeats) if work.config.repeats > 1 else ()
            self._open[group.name] = set(repeats)
            steps = 0 if repeats else work.config.steps
            self._last[group.name] = self._unit(group, LORA, state, steps)
            parts = [self._unit(group, i, state, work.config.steps) for i in repeats]
            first += parts or [self._last[group.name]]
        return first

    def take(self, unit: Unit, told: Told) -> list[Unit]:
        """The unit is done; returns the one that this makes possible."""
        work, name = self._work, unit.what["group"]
        for file, data in told.get("files", {}).items():
            write_bytes(work.folder / file, data, make_folder=False)
        if "entry" in told:
            entry = read_entry(told["entry"])
            self._lock.check()
            self._entries |= {e.name: e for e in existing(work.folder, work.backbone).entries}
            kept = {n: e for n, e in self._entries.items() if e.slug != entry.slug}
            self._entries = {**kept, name: entry}
            save_manifest(work.set_of(tuple(self._in_order())))
            resume.remove(resume_path(work.folder, work.groups[name]))
            return []
        self._open[name].discard(unit.what["part"])
        return [] if self._open[name] else [self._last[name]]

    def files(self, unit: Unit) -> dict[str, bytes]:
        return state_files(self._work.folder, self._work.groups[unit.what["group"]])

    def _in_order(self) -> Iterator[Entry]:
        """As a run on one machine leaves them: others first, then the chosen in their order."""
        chosen = [g.name for g in self._work.chosen]
        yield from (e for n, e in self._entries.items() if n not in chosen)
        yield from (self._entries[n] for n in chosen if n in self._entries)

    def _unit(self, group: Group, part: int | str, state: str, steps: int) -> Unit:
        name = group.name if part == LORA else f"{group.name}, repetition {int(part) + 1}"
        what = {"group": group.name, "part": part, "state": state}
        key = f"{group.slug}-{part}-{digest(state)[:12]}"
        return Unit(key, "unlearn", name, steps + (part == LORA), what)
