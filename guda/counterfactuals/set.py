"""A counterfactual set: a folder with one LoRA file per group and a `counterfactuals.json`.

<set>/<group slug>.safetensors        applied by ComfyUI's own "Load LoRA"; see `lora_file`
<set>/counterfactuals.json            what was made from what, each one's gate and certificate
<set>/learning_rate.json              only where it was found by trials; see `rate`
<set>/<group slug>.resume             only while a group is being unlearned; see `resume`
<set>/.guda.lock                      only while a run writes to the folder; see `lock`
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from ..diffusion import Backbone, LoraWeights
from ..diffusion.identity import differences
from ..errors import CounterfactualError
from ..files import reading
from ..scoring.spread import SeedSpread
from ..settings import digest
from ..unlearning.gate import Gate
from ..unlearning.rates import Trial, best
from ..unlearning.stopping import Ended
from . import sameness
from .certificate import Certificate, Verdict
from .lora_file import noted, noted_identity, read_file
from .runs import of_other_options

MANIFEST = "counterfactuals.json"


@dataclass(frozen=True)
class Entry:
    """One group's line in the manifest."""

    name: str
    slug: str
    style: str
    key: str  # what the file was made from; see `recipe_key`
    gate: Gate
    losses: tuple[tuple[int, float, float], ...]
    warnings: tuple[str, ...] = ()  # of the run that made it
    certificate: Certificate | None = None  # None before 0.2.0
    ended: tuple[Ended, ...] = ()  # every repetition that ended by itself

    @property
    def passed(self) -> bool:
        return self.gate.passed and (self.certificate is None or self.certificate.usable)

    @property
    def standing(self) -> str:
        """Its gate's figures and its certificate, in words."""
        return f"{self.gate.reason}; {self.certified}" if self.gate.passed else self.gate.reason

    @property
    def certified(self) -> str:
        """Its certificate, in words."""
        text = "no certificate" if self.certificate is None else self.certificate.text
        return "; ".join([text, *(f"ended after {e}" for e in self.ended)])

    @property
    def file(self) -> str:
        return f"{self.slug}.safetensors"


@dataclass(frozen=True)
class CounterfactualSet:
    """The counterfactuals in `folder`, all made from the base model `fingerprint`."""

    folder: Path
    base_model: str
    fingerprint: str
    groups_hash: str
    recipe: dict[str, Any]
    entries: tuple[Entry, ...]
    identity: dict[str, Any] = field(default_factory=dict)  # the model's; empty before 0.2.0
    trials: tuple[Trial, ...] = ()  # of learning rates, where the set's was found
    restored: str = ""  # what is to be said where its LoRAs told it, not its manifest

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(e.name for e in self.entries)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was said when its counterfactuals were made, and when it was read."""
        said = [self.restored] if self.restored else []
        return tuple(dict.fromkeys([*said, *(w for e in self.entries for w in e.warnings)]))

    @cached_property
    def _noted(self) -> dict[str, dict[str, str]]:
        """What every LoRA tells of itself, read once."""
        return {e.name: noted(self.path(e)) for e in self.entries}

    @property
    def doubts(self) -> tuple[str, ...]:
        """A warning for every counterfactual that is weak, and for those of other runs."""
        weak = tuple(
            f"The counterfactual {e.name!r} is {e.certificate.text}. Compare its scores with care, "
            "or unlearn it again with more steps."
            for e in self.entries
            if e.certificate is not None and e.certificate.verdict is Verdict.WEAK
        )
        former = [
            repr(name)
            for name, told in self._noted.items()
            if told.get("guda.groups_hash", self.groups_hash) != self.groups_hash
        ]
        others = of_other_options(self.folder, {e.name: self._recipe(e) for e in self.entries})
        if not former:
            return (*others, *weak)
        told = (
            f"{self.folder} is of several runs, between which pictures, captions or styles "
            f"changed, and has from before: {', '.join(former)}. Unlearn all of its styles again "
            "with the same options, or leave these out."
        )
        return (told, *others, *weak)

    @property
    def seed_spread(self) -> SeedSpread:
        """What another seed of the unlearning would change."""
        certificates = {e.name: e.certificate for e in self.entries}
        shares = {n: c.spread for n, c in certificates.items() if c and c.spread is not None}
        counts = {e.name: self._repeats(e) for e in self.entries}  # runs in one folder may differ
        measured = [n for name, n in counts.items() if name in shares]
        repeats = min(measured or counts.values(), default=1)
        others = {name: n for name, n in counts.items() if n != repeats}
        return SeedSpread(shares, repeats, others)

    def _repeats(self, entry: Entry) -> int:
        """Those that the LoRA is the mean of."""
        repeats = self._recipe(entry).get("repeats", 1)
        return repeats if type(repeats) is int and repeats >= 1 else 1

    def _recipe(self, entry: Entry) -> dict[str, Any]:
        """That the LoRA notes; that of the set's last run where it notes none."""
        with suppress(ValueError):
            told = reading.loads(self._noted[entry.name].get("guda.recipe", "{}"))
            if isinstance(told, dict) and told:
                return told
        return self.recipe

    @property
    def rate(self) -> str:
        """How the learning rate was found, in words; empty where it was given."""
        if not self.trials:
            return ""
        told = "; ".join(map(str, self.trials))
        return f"learning rate {best(self.trials).lr:g}, found by trials ({told})"

    @property
    def id(self) -> str:
        """Names the contents: changes when any counterfactual does."""
        return digest(self.fingerprint, sorted((e.name, e.key) for e in self.entries))

    def path(self, entry: Entry) -> Path:
        return self.folder / entry.file

    def subset(self, names: Sequence[str]) -> CounterfactualSet:
        """Only the named groups."""
        unknown = [n for n in names if n not in self.names]
        if unknown:
            raise CounterfactualError(
                f"The style {unknown[0]!r} is not in the counterfactual set {self.folder}; it has: "
                f"{', '.join(self.names)}."
            )
        kept = tuple(e for e in self.entries if e.name in names)
        return replace(self, entries=kept)

    def since(self, backbone: Backbone) -> list[str]:
        """What differs between the model that the set was made from and this one, in words."""
        return sameness.since(self, backbone)

    @property
    def refusals(self) -> tuple[str, ...]:
        """A sentence with the remedy for every counterfactual that failed its checks."""
        return tuple(map(self._refusal, (e for e in self.entries if not e.passed)))

    def _refusal(self, entry: Entry) -> str:
        which = f"The counterfactual {entry.name!r} in {self.folder}"
        if entry.certificate is None or not entry.gate.passed:
            return (
                f"{which} failed its gate ({entry.gate.reason}), so its scores would mislead. "
                "Unlearn it again with more steps or another lr, or leave the style out."
            )
        return (
            f"{which} is {entry.certificate.text}. Its scores would mislead: unlearn it again with "
            f"{entry.certificate.remedy}, or leave the style out."
        )

    def verify(self, backbone: Backbone) -> None:
        """Refuse a set of another base model, and counterfactuals that failed their checks."""
        if self.fingerprint not in sameness.names(backbone):
            raise CounterfactualError(
                f"The counterfactual set {self.folder} was made from the model "
                f"{self.base_model!r} ({self.fingerprint[:12]}), not from {backbone.name!r} "
                f"({backbone.fingerprint[:12]}). Load that model, or unlearn the styles from this "
                "one."
            )
        if changed := self.since(backbone):
            raise CounterfactualError(
                f"The counterfactual set {self.folder} was made from the model "
                f"{self.base_model!r} with another {sameness.listed(changed)}. Load the model as "
                "it was then, or unlearn the styles from this one into another set."
            )
        if refusals := self.refusals:
            raise CounterfactualError(refusals[0])

    def read(self, entry: Entry) -> dict[str, Tensor]:
        """The tensors of one file. Raises CounterfactualError where it is missing or damaged, or
        another than the manifest says."""
        path = self.path(entry)
        tensors, metadata = read_file(path)
        if metadata.get("guda.base_fingerprint") != self.fingerprint:
            raise CounterfactualError(
                f"The counterfactual {path} was made from another base model than its set says; "
                "unlearn the style again."
            )
        if metadata.get("guda.key") != entry.key:
            raise CounterfactualError(
                f"The counterfactual {path} was made from other pictures or settings than its set "
                "says, as when two runs share one folder; unlearn the style again, or load the "
                "set again."
            )
        if changed := differences(self.identity, noted_identity(path, metadata)):
            raise CounterfactualError(
                f"The counterfactual {path} was made from another model than its set says: the "
                f"{sameness.listed(changed)}; unlearn the style again."
            )
        return tensors

    def load(self, entry: Entry, backbone: Backbone) -> LoraWeights:
        """Read one LoRA. Raises CounterfactualError as `read` does, or when it is foreign."""
        tensors = self.read(entry)
        try:
            return backbone.lora_from_file(tensors)
        except CounterfactualError as error:
            raise CounterfactualError(
                f"The counterfactual {self.path(entry)} cannot be used: {error}. Unlearn the style "
                "again."
            ) from None
