"""Node inputs made from the settings dataclasses: same names, help, defaults, bounds, checks.

Three habits of the front end are met here. An input named "seed" gets a control that draws another
seed at every run unless it is told not to, which would repeat hours of work. A number without `max`
is capped at 2048. A float is rounded to the decimals of its `step`.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Container, Mapping
from typing import Any, TypeVar

from comfy_api.latest import io

from ..guda.settings import Settings, of_model

S = TypeVar("S", bound=Settings)

BY_MODEL = "recommended"
"""On a form, the choice that is left to the model; of a number it is 0."""
LARGEST = {int: 2**53, float: 1e9}  # the largest integer that JavaScript keeps exactly


def inputs(
    *kinds: type[Settings],
    only: Container[str] = (),
    but: Container[str] = (),
    shown: bool = True,
    **changes: Any,
) -> list[io.Input]:
    """One input per field of `kinds`, `only` those named, or all `but` those; `changes`: defaults.

    The advanced ones are optional and come after the others. Settings that came later are last of
    all, as saved workflows tell a node's widgets by their places. shown: False marks every one as
    advanced, where a preset or the model decides.
    """
    fields = [f for kind in kinds for f in _sorted(kind) if f.name not in but]
    fields = [f for f in fields if not only or f.name in only]
    fields.sort(key=lambda f: f.metadata["before"] is not None)
    made = [_input(f, changes.get(f.name, _open(f) if _by_model(f) else f.default)) for f in fields]
    return made if shown else [advanced(i) for i in made]


def _sorted(kind: type[Settings]) -> list[dataclasses.Field]:
    return sorted(dataclasses.fields(kind), key=lambda f: f.metadata["advanced"])  # type: ignore[arg-type]


def read(kind: type[S], values: Mapping[str, Any], base: S | None = None) -> S:
    """The settings among a node's `values`, those of `base` for absent ones and for those that are
    left to the model. Raises ConfigError."""
    given = {}
    for f in dataclasses.fields(kind):  # type: ignore[arg-type]
        value = values.get(f.name)
        if value is not None and not (_by_model(f) and value == _open(f)):
            given[f.name] = value
    return (base or kind()).replace(**given)


def _by_model(f: dataclasses.Field) -> bool:
    """Whether the setting's value depends on the model."""
    return f.metadata["large"] is not None


def _open(f: dataclasses.Field) -> Any:
    """What a form shows where the model decides."""
    return BY_MODEL if isinstance(f.default, str) else 0


def advanced(made: io.Input) -> io.Input:
    """The same input, marked as one that most need not see.

    A ComfyUI before 0.10 has no name for the mark, and hands it to the page all the same, where
    web/guda.js heeds it.
    """
    if "advanced" in inspect.signature(type(made).__init__).parameters:
        made.advanced = True  # type: ignore[attr-defined]
    else:
        made.extra_dict["advanced"] = True
    return made


def flag(name: str, default: bool, tooltip: str) -> io.Input:
    """A switch that most need not see."""
    return advanced(io.Boolean.Input(name, default=default, optional=True, tooltip=tooltip))


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _input(f: dataclasses.Field, default: Any) -> io.Input:
    meta, kind = f.metadata, type(f.default)
    shared = {"default": default, "tooltip": meta["help"]}
    if _by_model(f):
        small, large = of_model(f)
        shared["tooltip"] += (
            f" {_open(f)}: what suits the model, {small} for the built-in one and {large} for "
            "Stable Diffusion."
        )
    if meta["advanced"]:
        shared["optional"] = True
    made = _combo(f, shared) if kind is str else _number(f, kind, shared)
    return advanced(made) if meta["advanced"] else made


def _combo(f: dataclasses.Field, shared: dict[str, Any]) -> io.Input:
    left = [BY_MODEL] if _by_model(f) else []
    return io.Combo.Input(f.name, options=[*left, *f.metadata["choices"]], **shared)


def _number(f: dataclasses.Field, kind: type, shared: dict[str, Any]) -> io.Input:
    cls, meta = io.Int.Input if kind is int else io.Float.Input, f.metadata
    shared |= {
        "min": kind(0 if _by_model(f) else _or(meta["low"], -LARGEST[kind])),
        "max": kind(_or(meta["high"], LARGEST[kind])),
        "step": kind(meta["step"] or (1 if kind is int else 0.01)),
    }
    if kind is int:
        shared["control_after_generate"] = False
    return cls(f.name, **shared)
