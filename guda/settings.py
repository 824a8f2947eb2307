"""How a setting is written: a dataclass field that carries its help and its bounds."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypedDict

from .errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Form(TypedDict, total=False):
    """What a setting says of itself beside its default and its help."""

    low: float | None
    """The least and the most that are allowed."""
    high: float | None
    choices: Collection[str]
    advanced: bool
    """Whether a form shows it only when asked for."""
    step: float | None
    """What a field on a form moves by and rounds to; None means 1, or 0.01 for a float."""
    before: Any
    """Of a setting that came later: the value with which everything is as it was before."""
    large: Any
    """What suits Stable Diffusion, where the default suits small models."""


_PLAIN = Form(low=None, high=None, choices=(), advanced=True, step=None, before=None, large=None)


def setting(default: Any, help: str, **form: Unpack[Form]) -> Any:
    """A dataclass field with its documentation and its bounds attached."""
    if unknown := form.keys() - _PLAIN.keys():
        raise TypeError(f"setting takes no {', '.join(sorted(unknown))}")
    return field(default=default, metadata={"help": help, **_PLAIN, **form})


class Settings:
    """Checks every field of a dataclass made of `setting` fields when one is built."""

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            value, meta = getattr(self, f.name), f.metadata
            kind = type(f.default)
            if kind is float and type(value) is int:
                object.__setattr__(self, f.name, float(value))
            elif type(value) is not kind:
                raise ConfigError(f"{f.name} is {value!r}; give a {kind.__name__}.")
            if meta["choices"] and value not in meta["choices"]:
                allowed = ", ".join(meta["choices"])
                raise ConfigError(f"{f.name} is {value!r}; choose one of: {allowed}.")
            if kind is float and not math.isfinite(value):
                raise ConfigError(f"{f.name} is {value}; give a finite number.")
            low, high = meta["low"], meta["high"]
            if low is not None and value < low:
                raise ConfigError(f"{f.name} is {value}; the least allowed is {low:g}.")
            if high is not None and value > high:
                raise ConfigError(f"{f.name} is {value}; the most allowed is {high:g}.")

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)  # type: ignore[call-overload]

    def as_key(self) -> dict[str, Any]:
        """What names the results: later settings are left out where they change nothing.

        So what was made before they came is still found.
        """
        before = {f.name: f.metadata["before"] for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {k: v for k, v in self.as_dict().items() if before[k] is None or v != before[k]}

    def replace(self, **changes: Any):
        """A validated copy with some settings changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def named(self, changes: Mapping[str, Any], others: Sequence[str] = ()):
        """The same of names that a caller gave. Raises ConfigError for one that is no setting.

        others: names of what the caller takes beside these settings.
        """
        known = self.as_dict()
        for name in changes:
            if name not in known:
                names = ", ".join((*known, *others))
                raise ConfigError(f"There is no setting {name!r}; choose one of: {names}.")
        return self.replace(**changes)


def of_model(f: dataclasses.Field) -> tuple[str, str]:
    """The two values of a setting that the model decides: for small ones, for Stable Diffusion."""
    small, large = (
        value if isinstance(value, str) else f"{value:g}"
        for value in (f.default, f.metadata["large"])
    )
    return small, large


def digest(*parts: Any) -> str:
    """A short stable hash of JSON-like values, for cache keys and fingerprints."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()
