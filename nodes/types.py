"""What travels along the pack's own links, and what every node shares."""

from __future__ import annotations

import inspect

from comfy_api.latest import io

CATEGORY = "GUDA"

Model = io.Custom("GUDA_MODEL")  # guda.backbone.stable_diffusion.StableDiffusion
Groups = io.Custom("GUDA_GROUPS")  # guda.groups.StyleGroups
Counterfactuals = io.Custom("GUDA_COUNTERFACTUALS")  # guda.counterfactuals.CounterfactualSet
AttributionType = io.Custom("GUDA_ATTRIBUTION")  # guda.attribution.Attribution
Style = io.Custom("GUDA_STYLE")  # nodes.from_images.GivenStyle
Null = io.Custom("GUDA_NULL")  # guda.scoring.null.NullPool


def model_input():
    return Model.Input("model", tooltip="The base model, from Load Base Model (GUDA).")


def groups_input():
    return Groups.Input("groups", tooltip="The style groups, from one of the Style Groups nodes.")


def attribution_input():
    return AttributionType.Input("attribution", tooltip="From Attribute to Styles.")


def lines_input(name: str, placeholder: str, tooltip: str, **more):
    """A text of any number of lines, empty at first."""
    return io.String.Input(
        name,
        multiline=True,
        dynamic_prompts=False,
        default="",
        placeholder=placeholder,
        tooltip=tooltip,
        **more,
    )


def pictures_input():
    """What a node that attributes is asked about."""
    return io.Image.Input(
        "image",
        optional=True,
        tooltip="One picture, a batch or a list, of any shapes. Not needed where latents are "
        "linked.",
    )


def aliases(*words: str) -> dict[str, list[str]]:
    """What a search finds the node by, in a ComfyUI that knows aliases (0.11 and later)."""
    known = "search_aliases" in inspect.signature(io.Schema).parameters
    return {"search_aliases": list(words)} if known else {}
