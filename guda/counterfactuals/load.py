"""A counterfactual set is read: from its manifest, or from its LoRAs, which tell the same.

Every LoRA notes what the manifest says of it and of its set; all but the warnings, which depend on
what else was made in the run. Where the manifest is damaged or gone, nothing is made again: the
set is read from the LoRAs, with a warning, and the next run that writes to the folder writes the
manifest anew; see `put_right`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..diffusion.identity import differences
from ..errors import CounterfactualError, first_line
from ..files import reading, set_aside, slugify, tensorfile
from ..files.reading import field
from ..steps import Steps, warn
from . import rate
from .lora_file import noted, read_file
from .manifest import read_entry, read_manifest, save_manifest
from .set import MANIFEST, CounterfactualSet

ENDING, OWN = ".safetensors", "guda."


def load_set(folder: Path) -> CounterfactualSet:
    """Read a finished set. Raises CounterfactualError that names the folder and the remedy."""
    if os.path.isfile(folder):
        raise CounterfactualError(f"{folder} is a file; give the folder of a counterfactual set.")
    made, unread = _read(Path(folder))
    if made is None:
        more = f" {_sentence(unread)}" if unread else ""
        raise CounterfactualError(
            f"There is no counterfactual set in {folder} ({MANIFEST} is missing); unlearn the "
            f"styles first, or give the folder of a finished set.{more}"
        )
    if unread:
        raise CounterfactualError(
            f"{made.restored} {_sentence(unread)} Move these elsewhere, or unlearn the styles "
            "again with the same options, which keeps those that are whole."
        )
    for entry in made.entries:
        if not made.path(entry).is_file():
            raise CounterfactualError(
                f"The counterfactual {made.path(entry)} is missing; unlearn {entry.name!r} again."
            )
    return made


def read_set(folder: Path) -> CounterfactualSet | None:
    """What is there of the set in `folder`, None without one. Raises CounterfactualError."""
    made, unread = _read(folder)
    if made is None or not unread:
        return made
    return replace(made, restored=f"{made.restored} {_sentence(unread)}")


def put_right(made: CounterfactualSet, *, write: bool = True) -> Steps[None]:
    """Says that LoRAs told the set, and writes its manifest; a damaged one is set aside.

    write: only for whoever holds the folder's lock.
    """
    if not made.restored:
        return
    yield warn(made.restored)
    if not write:
        return
    path = made.folder / MANIFEST
    if os.path.lexists(path):
        yield warn(f"{path} was set aside as {set_aside(path).name}.")
    save_manifest(made)


def _read(folder: Path) -> tuple[CounterfactualSet | None, dict[Path, str]]:
    """The set; and where it has no manifest, why files beside its LoRAs are not of it."""
    refused = None
    try:
        if (made := read_manifest(folder)) is not None:
            return made, {}
    except CounterfactualError as error:
        refused = error
    loras, unread = _loras(folder)
    if loras:
        return _together(loras, refused), unread
    if refused is not None:
        raise CounterfactualError(f"{refused} {_sentence(unread)}" if unread else refused) from None
    return None, unread


def _loras(folder: Path) -> tuple[list[CounterfactualSet], dict[Path, str]]:
    """A set of each LoRA that tells everything, one for each style; and why others do not."""
    loras: dict[str, CounterfactualSet] = {}
    unread: dict[Path, str] = {}
    try:
        names = sorted(n for n in os.listdir(folder) if n.endswith(ENDING))
    except OSError:
        return [], {}
    paths = [p for n in names if (p := folder / n).is_file()]
    paths.sort(key=lambda p: p.stem != slugify(noted(p).get("guda.group", "")))  # copies come last
    for path in paths:
        try:
            if (lora := _lora(path)) is None:
                continue
            (name,) = lora.names
            if (other := loras.get(name)) is not None:
                raise CounterfactualError(f"it is of {name!r}, as {other.entries[0].file} is")
            loras[name] = lora
        except CounterfactualError as error:
            unread[path] = first_line(error)
    return sorted(loras.values(), key=lambda lora: lora.entries[0].file), unread


def _lora(path: Path) -> CounterfactualSet | None:
    """A set of this LoRA; None for one that is not of GUDA.

    Raises CounterfactualError with the reason alone.
    """
    try:
        told = tensorfile.read(path, CounterfactualError).metadata
        if not any(name.startswith(OWN) for name in told):
            return None  # without reading its tensors, as there may be many
        told = read_file(path)[1]
    except CounterfactualError:
        raise CounterfactualError("it is damaged") from None

    def text(name: str) -> str:
        return field(told, f"guda.{name}", str)

    def value(name: str, otherwise: Any) -> Any:
        return reading.loads(told[f"guda.{name}"]) if f"guda.{name}" in told else otherwise

    try:
        line = {
            "name": text("group"),
            "slug": path.stem,
            "style": text("style"),
            "key": text("key"),
            "gate": reading.loads(text("gate")),
            "losses": reading.loads(text("losses")),
            "certificate": value("certificate", None),
            "ended": value("ended", []),
        }
        of_set = (text("base_model"), text("base_fingerprint"), text("groups_hash"))
        recipe, identity = reading.loads(text("recipe")), value("identity", {})
        if not isinstance(recipe, dict) or not isinstance(identity, dict):
            raise ValueError("its recipe or the model's identity is no object")
        return CounterfactualSet(
            path.parent,
            *of_set,
            recipe,
            (read_entry(line),),
            identity,
            tuple(rate.kept(path.parent, recipe.get("lr"))),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise CounterfactualError(first_line(error)) from None


def _together(
    loras: Sequence[CounterfactualSet], refused: CounterfactualError | None
) -> CounterfactualSet:
    """One set of them. What is of all of it is told by the newest; all have to be of one model."""
    newest = max(loras, key=lambda lora: lora.path(lora.entries[0]).stat().st_mtime_ns)
    file = newest.entries[0].file
    for lora in loras:
        if lora.fingerprint != newest.fingerprint or differences(lora.identity, newest.identity):
            raise CounterfactualError(
                f"{_why(newest.folder, refused)}, and its LoRAs {file} and {lora.entries[0].file} "
                "are of different models; keep those of one model in a folder."
            )
    said = [
        f"{_why(newest.folder, refused)}; the set was read from its LoRAs, which are of "
        f"{', '.join(repr(lora.names[0]) for lora in loras)}. They tell all that scores depend on, "
        "not what was warned of when they were made."
    ]
    if any(
        (lora.recipe, lora.groups_hash) != (newest.recipe, newest.groups_hash) for lora in loras
    ):
        said.append(f"They are of several runs; its options are those of the newest, {file}.")
    entries = tuple(lora.entries[0] for lora in loras)
    return replace(newest, entries=entries, restored=" ".join(said))


def _why(folder: Path, refused: CounterfactualError | None) -> str:
    if refused is None:
        return f"{folder / MANIFEST} is missing"
    return first_line(refused).rpartition(";")[0]  # without the remedy


def _sentence(unread: Mapping[Path, str]) -> str:
    """Which files are not of the set, and why."""
    told = "; ".join(f"{path.name} ({why})" for path, why in sorted(unread.items()))
    return f"Of its LoRAs, these cannot be used: {told}."
