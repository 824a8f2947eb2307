"""Training state on disk: parameters, AdamW's moments, the losses and looks so far.

No random state: every step's randomness is a function of its number.

<name>.resume        the latest state
<name>.resume.old    the one before, for when the latest is damaged
<i>.<name>.resume    those of repetition i, from 1 on
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..errors import DamagedError
from ..files import sealed, set_aside, write_atomically
from .stopping import Mark

Loss = tuple[int, float, float]
"""Step, forget and preserve loss."""

ENDING = ".resume"
EARLIER = ".checkpoint.safetensors"
"""The ending up to version 0.1.0, with which ComfyUI lists a state among the LoRAs."""
SLOTS = ("value", "step", "exp_avg", "exp_avg_sq")
"""What every state has of a parameter; what else an optimizer keeps of it is saved as well."""


class Past(NamedTuple):
    """What a state holds beside the tensors."""

    losses: list[Loss]
    marks: list[Mark]


@dataclass(frozen=True)
class Place:
    """Where the state of unfinished training is kept, and the key that names the training."""

    path: Path
    key: str
    only: int | None = None
    """The one repetition to train here, where the others are trained elsewhere."""

    def of_repetition(self, i: int) -> Place:
        return replace(self, path=repetition(self.path, i))


def save(
    path: Path,
    key: str,
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    losses: list[Loss],
    marks: Sequence[Mark] = (),
) -> None:
    """Write what `restore` needs; `key` names what the training depends on.

    What `path` held is kept beside it. The folder has to exist. Raises SaveError.
    """
    tensors: dict[str, Tensor] = {}
    for name, p in parameters.items():
        tensors[f"{name}/value"] = p.detach().contiguous()
        for slot, value in optimizer.state[p].items():
            tensors[f"{name}/{slot}"] = torch.as_tensor(value).contiguous()
    told = {"key": key, "losses": json.dumps(losses)}
    metadata = sealed.seal(tensors, told | ({"marks": json.dumps(marks)} if marks else {}))
    write_atomically(
        path,
        lambda temporary: save_file(tensors, temporary, metadata),
        previous=_previous(path),
        make_folder=False,
    )


def repetition(path: Path, i: int) -> Path:
    """Where repetition `i` of a job whose state is at `path` keeps its own."""
    return path.with_name(f"{i}.{path.name}") if i else path


def repetitions(path: Path) -> list[Path]:
    """Those of `repetition` of which some state is on disk, in any order."""
    return sorted({path.with_name(f"{number}{path.name}") for number, _, _ in _files(path)})


def remove(path: Path) -> None:
    """Every state of every repetition, whatever key it has, and the damaged ones."""
    for _, _, file in _files(path):
        file.unlink(missing_ok=True)


def progress(path: Path, key: str) -> int:
    """Steps that the state holds; 0 where there is none to continue from."""
    for candidate in (path, _previous(path), _earlier(path)):
        try:
            state = _read(candidate, key)
        except (FileNotFoundError, DamagedError):
            continue
        if state is not None:
            return len(state[1].losses)
    return 0


def settle(path: Path, key: str) -> list[str]:
    """Rename files of earlier versions and set damaged ones aside, of every repetition.

    Returns a sentence for each damaged one, which says where training goes on.
    """
    for number, ending, file in _files(path):
        if ending == EARLIER:
            newer = path.with_name(f"{number}{path.name}")
            if newer.exists() and newer.stat().st_mtime >= file.stat().st_mtime:
                file.unlink(missing_ok=True)
            else:
                os.replace(file, newer)
    said: list[str] = []
    for own in repetitions(path):
        lost: list[str] = []
        for candidate in (own, _previous(own)):
            _read_or_set_aside(candidate, key, lost.append)
        steps = progress(own, key)
        start = f"training goes on after step {steps}" if steps else "training starts anew"
        said += [f"{text}; {start}." for text in lost]
    return said


def restore(
    path: Path,
    key: str,
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> Past:
    """Load parameters and optimizer from the latest good state; returns what was before.

    Nothing where there is none with this key. Damaged files are set aside.
    """
    for candidate in (path, _previous(path)):
        state = _read_or_set_aside(candidate, key, shapes=_shapes(parameters))
        if state is None:
            continue
        tensors, past = state
        kept: dict[str, dict[str, Tensor]] = {name: {} for name in parameters}
        for entry, value in tensors.items():
            name, slot = entry.rsplit("/", 1)
            if name in kept:
                kept[name][slot] = value
        for name, p in parameters.items():
            p.data.copy_(kept[name].pop("value"))
            optimizer.state[p] = {
                slot: value.to("cpu" if slot == "step" else p.device)
                for slot, value in kept.pop(name).items()
            }
        return past
    return Past([], [])


def _read_or_set_aside(
    path: Path,
    key: str,
    say: Callable[[str], None] = lambda _: None,
    shapes: Mapping[str, torch.Size] | None = None,
) -> tuple[dict[str, Tensor], Past] | None:
    try:
        return _read(path, key, shapes)
    except FileNotFoundError:
        return None
    except DamagedError as error:
        say(f"{path} is damaged ({error}) and was set aside as {set_aside(path).name}")
        return None


def _read(
    path: Path, key: str, shapes: Mapping[str, torch.Size] | None = None
) -> tuple[dict[str, Tensor], Past] | None:
    """Tensors and the past; None when they are of another key. Raises DamagedError."""
    tensors, metadata = sealed.read(path)
    try:
        if metadata["key"] != key:
            return None
        losses = [(int(s), float(f), float(r)) for s, f, r in json.loads(metadata["losses"])]
        marks = [
            Mark(int(s), *(x if x is None else float(x) for x in seen))
            for s, *seen in json.loads(metadata.get("marks", "[]"))
        ]
    except (KeyError, TypeError, ValueError):
        raise DamagedError("its losses cannot be read") from None
    for name, shape in (shapes or {}).items():
        if name not in tensors or tensors[name].shape != shape:
            raise DamagedError(f"its entry {name} is missing or has another shape")
    return tensors, Past(losses, marks)


def _shapes(parameters: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {
        f"{name}/{slot}": torch.Size() if slot == "step" else p.shape
        for name, p in parameters.items()
        for slot in SLOTS
    }


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.name}.old")


def _earlier(path: Path) -> Path:
    if not path.name.endswith(ENDING):
        return path
    return path.with_name(f"{path.name.removesuffix(ENDING)}{EARLIER}")


def _files(path: Path) -> Iterator[tuple[str, str, Path]]:
    """(number with its dot, ending, file) of everything that is kept for the job `path`."""
    own = re.escape(path.name)
    known = rf"(?P<now>{own}(\.old)?(\.damaged)?)"
    if path.name.endswith(ENDING):
        known += rf"|{re.escape(_earlier(path).name)}"
    pattern = re.compile(rf"(?P<number>(\d+\.)?)({known})")
    try:
        entries = sorted(path.parent.iterdir())
    except OSError:
        return
    for file in entries:
        if (name := pattern.fullmatch(file.name)) and file.is_file():
            yield name["number"], "" if name["now"] else EARLIER, file
