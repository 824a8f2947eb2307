"""A bundle's scores computed again: a sample of them, or all, and what differs."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..counterfactuals import CounterfactualSet
from ..diffusion import Backbone
from ..diffusion.identity import differences
from ..diffusion.noise import picture_key
from ..errors import EvidenceError, GudaError, first_line
from ..files.reading import MIB, field
from ..jobs.attribute import AttributeRequest, AttributeWork, survey
from ..report import source
from ..scoring.null import NullPool
from ..scoring.pool_file import FILE, LIMIT, read_pool
from ..scoring.verdict import Attribution
from ..steps import Steps
from ..variants import SCHEDULES
from .archive import Archive
from .facts import OF_ELBO, TOLERANCE, sha256_of
from .told import Told

PICTURE = 256 * MIB
"""The largest file of a scored picture."""


@dataclass(frozen=True)
class Sample:
    """Which pictures (by index) and, of a set, which styles are scored again."""

    pictures: tuple[int, ...]
    styles: tuple[str, ...]  # all, where the model itself answers: each is held against the others

    @classmethod
    def of(cls, told: Told, most: int, seed: int) -> Sample:
        """most: pictures, and styles of each; 0: all. Nobody can tell beforehand which."""
        styles = [s["group"] for s in told.images[0]["scores"]]
        every = cls(tuple(range(len(told.images))), tuple(styles))
        if not most or SCHEDULES[told.config.schedule].needs_pilot:
            return every  # where evaluations go depends on all of them
        rng = random.Random(seed)
        pictures = rng.sample(every.pictures, min(most, len(every.pictures)))
        if not told.direct:
            styles = rng.sample(sorted(styles), min(most, len(styles)))
        return cls(tuple(sorted(pictures)), tuple(styles))


@dataclass(frozen=True)
class Pair:
    """One score: as it was told, as it is now, and by how much they may differ; nats."""

    image: str
    group: str
    told: float
    now: float
    tolerance: float

    @property
    def differs(self) -> bool:
        return not abs(self.now - self.told) <= self.tolerance


@dataclass(frozen=True)
class Compared:
    """What came out again; verdicts: (picture, told, now) of those that are others now."""

    pairs: tuple[Pair, ...]
    verdicts: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Again:
    """A bundle's scores, surveyed to be computed again."""

    work: AttributeWork
    told: Told
    sample: Sample
    other: tuple[str, ...]  # what is not as the bundle says: model, styles' files, pictures

    def run(self) -> Steps[Compared]:
        attribution = yield from self.work.run()
        return Compared(tuple(self._pairs(attribution)), tuple(self._verdicts(attribution)))

    def _verdicts(self, now: Attribution) -> Iterator[tuple[str, str, str]]:
        """A verdict is one on all styles, so nothing is said of it where some are asked for."""
        if len(self.sample.styles) < len(self.told.images[0]["scores"]):
            return
        for index, image in zip(self.sample.pictures, now.images, strict=True):
            told = str(self.told.images[index].get("verdict"))
            if told != image.verdict:
                yield image.image, told, image.verdict
        if now.source is not None and self.told.together != source.verdict(now.source):
            yield "all pictures together", self.told.together, source.verdict(now.source)

    def _pairs(self, now: Attribution) -> Iterator[Pair]:
        precision = now.origin.model.get("precision", "") if now.origin else ""
        then = self.told.facts["model"].get("precision", "")
        # What cannot be told is held to be the coarser.
        share = max(TOLERANCE.get(str(p), max(TOLERANCE.values())) for p in (precision, then))
        for index, image in zip(self.sample.pictures, now.images, strict=True):
            told = {s["group"]: s for s in self.told.images[index]["scores"]}
            for group in self.sample.styles:
                s = image[group]
                tolerance = share * s.stderr + OF_ELBO * abs(image.elbo)
                yield Pair(image.image, group, float(told[group]["delta"]), s.delta, tolerance)


def survey_again(
    bundle: Archive,
    backbone: Backbone,
    made: CounterfactualSet | None,
    most: int,
    seed: int,
) -> Again:
    """What is to be scored again. Raises GudaError where it cannot be.

    made: the set, where styles were unlearned; None where the model itself answered.
    """
    told = Told.read(bundle)
    if reason := told.facts.get("unrepeatable"):
        raise EvidenceError(f"{bundle.path} cannot be scored again: {reason}")
    try:
        sample = Sample.of(told, most, seed)
        without = told.without() if told.direct else _set(told, made, sample)
        config = told.config
    except (GudaError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, EvidenceError):
            raise
        raise EvidenceError(
            f"{bundle.path} says what cannot be scored ({first_line(error)}); ask for it again."
        ) from None
    held, other = _pictures(bundle, told, sample)
    latents = _together([h["latent"] for h in held]) if told.of_latents else None
    request = AttributeRequest(
        backbone,
        without,
        [h["picture"] for h in held],
        [told.images[i]["image"] for i in sample.pictures],
        [told.images[i]["prompt"] for i in sample.pictures],
        config,
        latents,
        null=_pool(bundle),
        null_file=FILE,
        one_source=bool(told.together) and len(sample.pictures) == len(told.images),
        seeds=told.seeds,
    )
    changed = [
        f"the model's {x}" for x in differences(told.facts["model"]["identity"], backbone.identity)
    ]
    if made is not None:
        changed += _files(told, made, sample)
    return Again(survey(request), told, sample, (*changed, *other))


def _pool(bundle: Archive) -> NullPool | None:
    """The null pool of the bundle, if it has one."""
    if FILE not in bundle.names:
        return None
    with tempfile.TemporaryDirectory(prefix="guda-verify-") as folder:
        path = Path(folder) / FILE
        path.write_bytes(bundle.read(FILE, LIMIT))
        return read_pool(path)


def _together(latents: list[Tensor]) -> Tensor:
    if len(shapes := {tuple(x.shape) for x in latents}) > 1:
        raise EvidenceError(f"The bundle's latents are of {len(shapes)} shapes; ask for it again.")
    return torch.stack(latents)


def _set(told: Told, made: CounterfactualSet | None, sample: Sample) -> CounterfactualSet:
    if made is None:
        name = told.facts["counterfactuals"].get("set", "")
        raise EvidenceError(
            f"The scores are of the set {name!r}; give its folder by --counterfactuals."
        )
    return made.subset(sample.styles)


def _files(told: Told, made: CounterfactualSet, sample: Sample) -> list[str]:
    """Styles whose LoRA is another file than that which was hashed."""
    sums = {s["name"]: s.get("sha256") for s in told.facts["counterfactuals"]["styles"]}
    used = [e for e in made.entries if e.name in sample.styles]
    return [
        f"the file {e.file} of the style {e.name!r}"
        for e in used
        if sha256_of(made.path(e)) != sums.get(e.name)
    ]


def _pictures(
    bundle: Archive, told: Told, sample: Sample
) -> tuple[list[dict[str, Tensor]], list[str]]:
    """The tensors of the sample, and which are not those that the bundle names."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    held, other = [], []
    for i in sample.pictures:
        said = told.facts["pictures"][i]
        try:
            tensors = load(bundle.read(field(said, "file", str), PICTURE))
            scored = tensors["latent" if told.of_latents else "picture"]
            if any(t.ndim != 3 or not t.is_floating_point() for t in tensors.values()):
                raise ValueError("it is no (channels, height, width)")
        except (SafetensorError, ValueError, KeyError) as error:
            raise EvidenceError(
                f"{bundle.path} holds a picture that cannot be read ({first_line(error)}); ask for "
                "the bundle again."
            ) from None
        held.append(tensors)
        if picture_key(scored) != said.get("key"):
            other.append(f"the scored picture {told.images[i]['image']!r}")
    return held, other
