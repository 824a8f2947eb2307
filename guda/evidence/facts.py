"""What a bundle says of how its scores came about: `evidence.json`, and the commands to repeat."""

from __future__ import annotations

import hashlib
import platform
import shlex
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import Tensor

from ..diffusion.noise import picture_key
from ..errors import EvidenceError
from ..report.tables import finite
from ..scoring.origin import Origin
from ..scoring.verdict import Attribution
from ..steps import Step, Steps

FORMAT, FORMAT_VERSION = "guda-evidence", 1
PROGRAM = ("python", "-m", "guda")
PACKAGES = (
    "torch", "numpy", "scipy", "diffusers", "transformers", "peft", "safetensors", "pillow",
)  # fmt: skip
TOLERANCE: Mapping[str, float] = {"float32": 0.02, "float16": 0.1, "bfloat16": 1.0}
"""Of a score's standard error, by the number format of the model's weights. The same format on one
machine differs by a hundredth of that, as more or fewer pictures go through the model at once."""
OF_ELBO = 1e-6
"""Of the size of the picture's ELBO, in addition: what rounding makes of a difference of two."""
_PART = 1 << 20


def facts(
    attribution: Attribution, origin: Origin, hashes: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """hashes: SHA-256 by name, of the files of the "model" and of the "styles"."""
    told = dict(origin.counterfactuals)
    styles = [{**s, "sha256": hashes["styles"].get(s["name"])} for s in told.pop("styles")]
    images, scored = attribution.images, _scored(attribution, origin)
    return finite(
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "made_by": _versions(attribution),
            "commands": list(commands(attribution, origin)),
            "settings": attribution.estimate,
            "seeds": {"noise": attribution.estimate.get("seed", 0)},
            "model": {**origin.model, "files": dict(hashes["model"])},
            "counterfactuals": {**told, "styles": styles},
            "one_source": attribution.source is not None,
            "scored": "pictures" if origin.latents is None else "latents",
            "pictures": [
                {
                    "image": image.image,
                    "prompt": image.prompt,
                    "file": picture_file(i),
                    "key": picture_key(scored[i]),
                    "shape": list(scored[i].shape),
                }
                for i, image in enumerate(images)
            ],
            "unrepeatable": origin.unrepeatable,
            "tolerance": {"of_standard_error": dict(TOLERANCE), "of_elbo": OF_ELBO},
        }
    )


def picture_file(index: int) -> str:
    """Of what was scored, to the last bit."""
    return f"scored/{index + 1:04}.safetensors"


def tensors(attribution: Attribution, origin: Origin, index: int) -> dict[str, Tensor]:
    """One picture (3, H, W) as it was shown, and the latent (c, h, w) that was scored, if any."""
    held = {"picture": attribution.pictures[index].contiguous()}
    if origin.latents is not None:
        held["latent"] = origin.latents[index].detach().cpu().float().contiguous()
    return held


def _scored(attribution: Attribution, origin: Origin):
    return attribution.pictures if origin.latents is None else origin.latents.detach().cpu()


def _versions(attribution: Attribution) -> dict[str, str]:
    made = {"guda": attribution.version, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            made[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            made[name] = "unknown"
    return made | {
        "system": f"{platform.system()} {platform.machine()}",
        "byte order": sys.byteorder,
    }


def commands(attribution: Attribution, origin: Origin) -> Iterator[str]:
    """What scores the bundle's own pictures again, and what asks the same from the files anew."""
    model = _model(origin)
    direct = origin.counterfactuals["kind"] == "direct"
    against = [] if direct else ["--counterfactuals", str(origin.counterfactuals["set"])]
    yield shlex.join([*PROGRAM, "verify", "BUNDLE.zip", *model, *against, "--sample", "0"])
    asked = ["--styles", "styles.txt"] if direct else against
    if direct:
        asked += ["--template", origin.counterfactuals["template"]]
    for name in attribution.groups if not direct else ():
        asked += ["--style", name]
    asked += ["--null", "null.json"] if attribution.null else []
    asked += ["--one-source"] if attribution.source else []
    asked += ["--credit"] if attribution.images[0].scores[0].credit is not None else []
    prompts = [image.prompt for image in attribution.images]
    for prompt in prompts if len(set(prompts)) > 1 else prompts[:1]:
        asked += ["--prompt", prompt]
    for name, value in attribution.estimate.items():
        asked += [f"--{name.replace('_', '-')}", str(value)]
    pictures = ["--image", *(image.image for image in attribution.images)]
    yield shlex.join([*PROGRAM, "evidence", *model, *asked, *pictures, "--out", "AGAIN.zip"])


def _model(origin: Origin) -> list[str]:
    """A checkpoint by its file's name, a folder by its own."""
    name = str(origin.model["name"])
    if len(origin.model_files) == 1:
        name = origin.model_files[0].name
    given = ["--model", name]
    if precision := origin.model.get("precision"):
        given += ["--precision", str(precision)]
    for option in ("prediction", "resolution"):
        if option in origin.model.get("overrides", {}):
            given += [f"--{option}", str(origin.model["overrides"][option])]
    return given


def hashed(origin: Origin) -> Steps[dict[str, dict[str, str]]]:
    """SHA-256 of every file that the scores stand on, by its name. Raises EvidenceError."""
    files = origin.model_files
    root = files[0].parent if len(files) == 1 else _common(files)
    named = [("model", p.relative_to(root).as_posix(), p) for p in files]
    named += [("styles", name, path) for name, path in origin.style_files.items()]
    made: dict[str, dict[str, str]] = {"model": {}, "styles": {}}
    for done, (kind, name, path) in enumerate(named):
        yield Step("hash", done, len(named))
        made[kind][name] = sha256_of(path)
    return made


def sha256_of(path: Path) -> str:
    """Raises EvidenceError."""
    h = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while part := file.read(_PART):
                h.update(part)
    except OSError as error:
        raise EvidenceError(
            f"{path} was read for the scores and cannot be read any more ({error.strerror}); put "
            "it back and ask again."
        ) from None
    return h.hexdigest()


def _common(files: tuple[Path, ...]) -> Path:
    import os

    return Path(os.path.commonpath(files)) if files else Path()
