"""A benchmark as it is asked for: plain values, from which every process makes the same one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from . import digits, styles
from .benchmark import Benchmark, with_clip, with_seeds


@dataclass(frozen=True)
class Named:
    """The options of `guda bench`. out: the folder of everything that is made for it."""

    name: str  # digits or styles
    out: Path
    quick: bool = False
    data: Path | None = None
    base: Path | None = None
    clip: Path | None = None
    seeds: int | None = None

    def benchmark(self) -> Benchmark:
        """Raises GudaError on what does not go together."""
        if self.name == "styles":
            bench = styles.benchmark(self.out, self.quick, self.data, self.base)
        elif given := self.data or self.base:
            raise ConfigError(f"data is {given}, but digits brings its own; leave it out.")
        else:
            bench = digits.benchmark(self.out, self.quick)
        if self.clip is not None:
            bench = with_clip(bench, self.clip)
        return bench if self.seeds is None else with_seeds(bench, self.seeds)

    def told(self) -> dict[str, Any]:
        """JSON values, with whole paths."""
        return {k: str(v.absolute()) if isinstance(v, Path) else v for k, v in asdict(self).items()}

    @classmethod
    def read(cls, told: dict[str, Any]) -> Named:
        paths = {k: told[k] and Path(told[k]) for k in ("out", "data", "base", "clip")}
        return cls(**{**told, **paths})
