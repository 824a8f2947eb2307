"""What a bundle says of its scores, read without trusting it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config import ElboConfig
from ..counterfactuals.direct import DirectCounterfactuals
from ..errors import EvidenceError, first_line
from ..files.reading import field, loads, number
from .archive import Archive
from .facts import FORMAT, FORMAT_VERSION


@dataclass(frozen=True)
class Told:
    """What a bundle says: `evidence.json`, and the scores of `report/attribution.json`."""

    facts: Mapping[str, Any]
    images: Sequence[Mapping[str, Any]]
    together: str  # the verdict on all pictures as one source; "" where they were not asked so

    @classmethod
    def read(cls, bundle: Archive) -> Told:
        """Raises EvidenceError."""
        try:
            facts = loads(bundle.read("evidence.json"))
            if field(facts, "format", str) != FORMAT:
                raise ValueError("it is of another format")
            if field(facts, "format_version", int) > FORMAT_VERSION:
                raise ValueError("it is of a later version of GUDA; install that")
            field(field(facts, "model", dict), "identity", dict)
            field(facts, "settings", dict)
            styles = field(field(facts, "counterfactuals", dict), "styles", list)
            names = {field(s, "name", str) for s in styles}
            report = loads(bundle.read("report/attribution.json"))
            images = field(report, "images", list)
            together = field(report["source"], "verdict", str) if "source" in report else ""
            pictures = field(facts, "pictures", list)
            if len(images) != len(pictures) or not images:
                raise ValueError(f"{len(images)} pictures are scored and {len(pictures)} told of")
            for image, picture in zip(images, pictures, strict=True):
                field(picture, "file", str)
                field(image, "image", str)
                field(image, "prompt", str)
                scores = field(image, "scores", list)
                if {field(s, "group", str) for s in scores} != names:
                    raise ValueError("the styles that are scored are not those that are told of")
                for s in scores:
                    number(s.get("delta"), "delta")
            return cls(facts, images, together)
        except (ValueError, KeyError, TypeError) as error:
            raise EvidenceError(
                f"{bundle.path} does not say what was scored ({first_line(error)}); ask for the "
                "bundle again."
            ) from None

    @property
    def direct(self) -> bool:
        return self.facts["counterfactuals"].get("kind") == "direct"

    @property
    def seeds(self) -> bool:
        """Whether the intervals include the unlearning's seeds, as those of 0.1 do not."""
        return any("seed_stderr" in s for image in self.images for s in image["scores"])

    @property
    def of_latents(self) -> bool:
        return self.facts.get("scored") == "latents"

    @property
    def config(self) -> ElboConfig:
        known = ElboConfig().as_dict()
        return ElboConfig(**{k: v for k, v in self.facts["settings"].items() if k in known})

    def without(self) -> DirectCounterfactuals:
        """The styles that the model itself answered for."""
        told = self.facts["counterfactuals"]
        styles = tuple((field(s, "name", str), field(s, "style", str)) for s in told["styles"])
        return DirectCounterfactuals(styles, field(told, "template", str))
