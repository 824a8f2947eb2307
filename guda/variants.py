"""Variants of a part of the method: a record each, beside the function that does it.

An operator, an anchor or a schedule is a function under its table's `add`, in the file that the
table names. Settings, command line, nodes, plan and help read the record, and no second list names
it. They ask before there is a model, so such a file loads no torch when it is imported: types stand
under TYPE_CHECKING, and the work on tensors is done by methods of what the function is given.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from .errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class Variant:
    """One way to do it. Calling the record calls its function."""

    name: str
    function: Callable[..., Any]
    help: str = ""
    """What follows the name in the help of the setting that chooses it."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Its own settings, each made by `setting`; they are fields of the settings' dataclass."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def twice(n: int, m: int, conditional: bool) -> int:
    """The model with the LoRA and the full model, once a row."""
    return 2 * (n + m)


@dataclass(frozen=True)
class Operator(Variant):
    """(full model, model being unlearned, batch, config) -> (forget loss, preserve loss)."""

    needs_prompts: bool = False
    """Refused where the model takes none."""
    anchored: bool = False
    """What is forgotten is trained towards the answers to anchors, of which there may be more."""
    needs_neighbours: bool = False
    """The batch then has the retain pictures that are nearest to each forget picture."""
    evaluations: Callable[[int, int, bool], int] = twice
    """(forget rows, retain rows, whether prompts matter) -> pictures through the UNet per step."""


@dataclass(frozen=True)
class Anchor(Variant):
    """(context, forget example, generator) -> the anchor's prompt."""

    needs_same_content: bool = False
    """Refused where a forget picture shows what no other group's picture shows."""


@dataclass(frozen=True)
class Schedule(Variant):
    """(evaluations, length of the noise schedule, seed, pilot's profile or None) -> Points."""

    needs_pilot: bool = False
    """A short run comes first, whose profile (timesteps, spread) the function is given."""


@dataclass(frozen=True)
class Mixture(Variant):
    """(gram, evidence) -> (n, K) weights of the styles' answers, which add up to one.

    gram: (n, K + 1, K + 1) float64, inner products of the residuals eps - eps_hat of the K styles'
    prompts and of the prompt as given; evidence: (n, K) nats, of the noisier points.
    """


V = TypeVar("V", bound=Variant)


class Table(Mapping[str, V], Generic[V]):
    """Records by name, in the order of their file, which is read when the table is first asked."""

    def __init__(self, kind: type[V], file: str):
        self._kind, self._file = kind, file
        self._records: dict[str, V] = {}

    def add(self, help: str = "", **record: Any) -> Callable[[F], F]:
        """Decorates a function: enters it by its name. record: the other fields of the record."""

        def enter(function: F) -> F:
            name = function.__name__
            if name in self._records:
                raise ConfigError(f"There is a variant {name!r} already; give another name.")
            self._records[name] = self._kind(name, function, help, **record)
            return function

        return enter

    def told(self) -> str:
        """name: help; name: help ..."""
        return "; ".join(f"{v.name}: {v.help}" for v in self.values())

    def setting(self, name: str) -> Any:
        """A setting that a variant declares, to be a field of a dataclass."""
        return self.settings()[name]

    def settings(self) -> dict[str, Any]:
        return {name: own for v in self.values() for name, own in v.settings.items()}

    def _all(self) -> dict[str, V]:
        importlib.import_module(self._file, __package__)
        return self._records

    def __getitem__(self, name: str) -> V:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


OPERATORS = Table(Operator, ".unlearning.operators")
ANCHORS = Table(Anchor, ".unlearning.anchors")
SCHEDULES = Table(Schedule, ".scoring.schedules")
MIXTURES = Table(Mixture, ".scoring.mixtures")


def with_settings_of(*tables: Table[Any]) -> Callable[[C], C]:
    """Before `dataclass`: fields for the variants' settings that the class does not place itself.

    They come last, and with their default value everything is named as it was before them.
    """

    def extend(cls: C) -> C:
        for table in tables:
            for name, own in table.settings().items():
                if name not in cls.__annotations__:
                    meta = {**own.metadata, "before": own.default}
                    cls.__annotations__[name] = type(own.default).__name__
                    setattr(cls, name, dataclasses.field(default=own.default, metadata=meta))
        return cls

    return extend
