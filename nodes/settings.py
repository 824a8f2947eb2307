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

from ..guda.settings import Settings

S = TypeVar("S", bound=Settings)

LARGEST = {int: 2**53, float: 1e9}  # the largest integer that JavaScript keeps exactly


def inputs(
    *kinds: type[Settings], only: Container[str] = (), but: Container[str] = (), **changes: Any
) -> list[io.Input]:
    """One input per field of `kinds`, `only` those named, or all `but` those; `changes`: defaults.

    The advanced ones are optional and come after the others. Settings that came later are last of
    all, as saved workflows tell a node's widgets by their places.
    """
    fields = [f for kind in kinds for f in _sorted(kind) if f.name not in but]
    fields = [f for f in fields if not only or f.name in only]
    fields.sort(key=lambda f: f.metadata["before"] is not None)
    return [_input(f, changes.get(f.name, 0 if _by_model(f) else f.default)) for f in fields]


def _sorted(kind: type[Settings]) -> list[dataclasses.Field]:
    return sorted(dataclasses.fields(kind), key=lambda f: f.metadata["advanced"])  # type: ignore[arg-type]


def read(kind: type[S], values: Mapping[str, Any], base: S | None = None) -> S:
    """The settings among a node's `values`, those of `base` for absent ones and for 0 where that
    leaves the choice to the model. Raises ConfigError."""
    given = {}
    for f in dataclasses.fields(kind):  # type: ignore[arg-type]
        value = values.get(f.name)
        if value is not None and not (_by_model(f) and value == 0):
            given[f.name] = value
    return (base or kind()).replace(**given)


def _by_model(f: dataclasses.Field) -> bool:
    """Whether the setting's value depends on the model; a form shows that as 0."""
    return f.metadata["large"] is not None


def advanced(kind: type[io.Input]) -> dict[str, bool]:
    """Marks an input as advanced, in a ComfyUI that knows the mark (0.10 and later)."""
    known = "advanced" in inspect.signature(kind.__init__).parameters
    return {"optional": True} | ({"advanced": True} if known else {})


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _input(f: dataclasses.Field, default: Any) -> io.Input:
    meta, kind = f.metadata, type(f.default)
    shared = {"default": default, "tooltip": meta["help"]}
    if _by_model(f):
        shared["tooltip"] += (
            f" 0: what suits the model, {f.default:g} for the built-in one and {meta['large']:g} "
            "for Stable Diffusion."
        )
    if kind is str:
        shared |= advanced(io.Combo.Input) if meta["advanced"] else {}
        return io.Combo.Input(f.name, options=list(meta["choices"]), **shared)
    cls = io.Int.Input if kind is int else io.Float.Input
    shared |= advanced(cls) if meta["advanced"] else {}
    shared |= {
        "min": kind(0 if _by_model(f) else _or(meta["low"], -LARGEST[kind])),
        "max": kind(_or(meta["high"], LARGEST[kind])),
        "step": kind(meta["step"] or (1 if kind is int else 0.01)),
    }
    if kind is int:
        shared["control_after_generate"] = False
    return cls(f.name, **shared)
