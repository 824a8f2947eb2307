"""The method as plain functions: a model, groups, a set of counterfactuals, an attribution.

model = load_model("demo")
made = unlearn(model, load_folder("styles"), "SET", steps=60)
save_report(attribute(model, made, ["fox.png"], prompts=["a fox"]), "report")
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from .backbone import precision as precisions
from .backbone.files.load import load
from .backbone.placement import device_of
from .config import ElboConfig, MemoryConfig, SampleConfig, UnlearnConfig
from .counterfactuals import CounterfactualSet
from .counterfactuals import load_set as set_of_folder
from .counterfactuals.direct import DirectCounterfactuals
from .diffusion import Backbone
from .errors import ConfigError, ImageError
from .groups import StyleGroups, check_pictures, from_prompts
from .groups import load_folder as groups_of_folder
from .groups import pictures as files
from .groups.shapes import Size
from .jobs import against
from .jobs.after import After
from .jobs.attribute import AttributeRequest
from .jobs.attribute import attribute as attributed
from .jobs.basis import Without
from .jobs.null import NullRequest
from .jobs.null import null as pooled
from .jobs.shapes import sizes
from .jobs.unlearn import UnlearnRequest
from .jobs.unlearn import survey as surveyed
from .report import save as save_report
from .scoring.null import NullPool
from .scoring.verdict import Attribution
from .steps import Step, drain
from .unlearning.recipe import recommended

__all__ = [
    "attribute",
    "from_prompts",
    "load_folder",
    "load_model",
    "load_set",
    "null_pool",
    "save_report",
    "unlearn",
]

OnStep = Callable[[Step], None]
"""Is given every step of the work; `print` shows them."""
Asked = CounterfactualSet | StyleGroups | Mapping[str, str]
EXTRAS = ("null", "one_source", "credit")
POOLS = ("forms", "images", "like", "contents", "sampling")


def load_model(
    source: str | os.PathLike[str],
    *,
    device: str = "auto",
    precision: str = "auto",
    prediction: str = "auto",
    resolution: int = 0,
    vae: str | os.PathLike[str] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
) -> Backbone:
    """A model at work on the device.

    source: "demo" (the built-in model), a .safetensors checkpoint or a diffusers folder. The
    options are those of the command line. Raises ModelError or ConfigError.
    """
    at = device_of(device)
    model = load(
        os.fspath(source),
        dtype=precisions.of_file(precision, at),
        prediction=prediction,
        resolution=resolution,
        vae=None if vae is None else Path(vae),
        tokenizer=None if tokenizer is None else Path(tokenizer),
    )
    model.cast(precision, at)
    model.move(at, rest="cpu")
    return model


def load_folder(folder: str | os.PathLike[str], template: str | None = None) -> StyleGroups:
    """The groups of a folder, one subfolder each. template: how a caption is made, where it is.

    Every picture is looked at: `warnings` of the groups, and of what is made with them, says which
    are there twice or show nothing. Raises GroupsError or ImageError naming the file.
    """
    groups = groups_of_folder(Path(folder), template=template)
    check_pictures(groups)
    return groups


def load_set(folder: str | os.PathLike[str]) -> CounterfactualSet:
    """The counterfactuals that `unlearn` made there."""
    return set_of_folder(Path(folder))


def unlearn(
    model: Backbone,
    groups: StyleGroups,
    out: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
    on_step: OnStep | None = None,
    config: UnlearnConfig | None = None,
    sampling: SampleConfig | None = None,
    **settings: object,
) -> CounterfactualSet:
    """A counterfactual of every group, or of those in `names`, in the folder `out`; resumable.

    settings: fields of UnlearnConfig that differ from `config`, by default what suits the model,
    and of MemoryConfig; recovery=True: certificates tell how soon a style comes back, see
    `unlearning.recovery`. sampling: how pictures are drawn for groups that have none.
    Raises GudaError on bad input.
    """
    recovery = _yes("recovery", settings.pop("recovery", False))
    fields = MemoryConfig().as_dict()
    memory = MemoryConfig(**{k: settings.pop(k) for k in fields if k in settings})  # type: ignore[arg-type]
    recipe = (config or recommended(model)).named(settings, tuple(fields))
    request = UnlearnRequest(
        model,
        groups,
        Path(out),
        recipe,
        names,
        sampling or SampleConfig(),
        memory=memory,
    )
    work = surveyed(request)
    return drain(After(recovery).whole(work), on_step)


def attribute(
    model: Backbone,
    counterfactuals: Asked,
    pictures: Sequence[str | os.PathLike[str] | Tensor],
    prompts: str | Sequence[str] = "",
    *,
    names: Sequence[str] | None = None,
    on_step: OnStep | None = None,
    config: ElboConfig | None = None,
    **settings: object,
) -> Attribution:
    """Which groups the model learned the pictures from.

    counterfactuals: a set that `unlearn` made; or groups, or style names and their phrases, for
    which the model itself answers at once (see `scoring.direct`).
    pictures: files, or tensors (3, H, W) in [0, 1]. prompts: what they show, one for all or one
    each. names: what the report calls them, by default the files' names.
    settings: fields of ElboConfig that differ from `config`; and
    - null: a null pool, or the file or folder of one (see `null_pool`), for a verdict with a known
      share of errors; that in a set's folder is found by itself
    - one_source=True: the pictures are of one source, and asked together, too; from 10 on
    - credit=True: a column of credit, which adds up to at most 1 a picture
    Raises GudaError on bad input.
    """
    given = settings.pop("null", None)
    one, credit = (_yes(name, settings.pop(name, False)) for name in EXTRAS[1:])
    if isinstance(pictures, str | os.PathLike | Tensor):
        raise ImageError(f"pictures is a {type(pictures).__name__}; give a list, even of one.")
    asked = (config or ElboConfig()).named(settings, EXTRAS)
    size = sizes(model, asked)
    loaded = [_picture(p, size) for p in pictures]
    without = _without(counterfactuals)
    pool, file = against.given(given, without, model, asked)
    request = AttributeRequest(
        model,
        without,
        loaded,
        names or [_name(p, i) for i, p in enumerate(pictures, 1)],
        [prompts] if isinstance(prompts, str) else list(prompts),
        asked,
        null=pool,
        null_file=file,
        one_source=one,
        credit=credit,
    )
    return drain(attributed(request), on_step)


def null_pool(
    model: Backbone,
    counterfactuals: Asked,
    out: str | os.PathLike[str],
    *,
    size: int = NullRequest.size,
    on_step: OnStep | None = None,
    config: ElboConfig | None = None,
    **settings: object,
) -> NullPool:
    """Pictures that have nothing to do with the styles, scored into the file `out`; resumable.

    counterfactuals: as `attribute` takes them. size: null pictures for each form of prompt; a
    larger one goes on from what is there. settings: fields of ElboConfig that differ from
    `config`, as `attribute` will be asked; and forms, images, like, contents, sampling as
    NullRequest has them. Raises GudaError on bad input.
    """
    more = {name: settings.pop(name) for name in POOLS if name in settings}
    asked = (config or ElboConfig()).named(settings, POOLS)
    without = _without(counterfactuals)
    if isinstance(images := more.get("images"), str | os.PathLike):
        more["images"] = Path(images)
    request = NullRequest(model, without, Path(out), size, config=asked, **more)  # type: ignore[arg-type]
    return drain(pooled(request), on_step)


def _yes(name: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise ConfigError(f"{name} is {given!r}; give True or False.")
    return given


def _without(given: Asked) -> Without:
    if isinstance(given, CounterfactualSet):
        return given
    if isinstance(given, StyleGroups):
        return DirectCounterfactuals.of(given)
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"counterfactuals is a {type(given).__name__}; give a set of load_set or unlearn, "
            "groups, or a mapping of style names to their phrases."
        )
    return DirectCounterfactuals.named(given)


def _picture(given: str | os.PathLike[str] | Tensor, size: Callable[[int, int], Size]) -> Tensor:
    if not isinstance(given, Tensor):
        return files.load(Path(given), size)
    if given.ndim != 3 or len(given) != 3:
        raise ImageError(f"A picture is a tensor {tuple(given.shape)}; give (3, H, W) in [0, 1].")
    return given.detach().to("cpu", torch.float32)


def _name(given: str | os.PathLike[str] | Tensor, number: int) -> str:
    return f"picture {number}" if isinstance(given, Tensor) else Path(given).name
