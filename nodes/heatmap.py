"""Where in a picture a style explains it."""

from __future__ import annotations

from comfy_api.latest import io

from ..guda.errors import ConfigError
from .convert import to_batch
from .types import CATEGORY, aliases, attribution_input


class GudaHeatMap(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaHeatMap",
            display_name="Style Heat Map",
            category=CATEGORY,
            description="Shows where in the picture a style explains it (orange), and where the "
            "model does better without the style (violet).",
            inputs=[
                attribution_input(),
                io.String.Input(
                    "group",
                    default="",
                    placeholder="the leading style",
                    tooltip="Name of the style, as in the table; empty for the leading style of "
                    "each picture.",
                ),
                io.Int.Input(
                    "picture",
                    default=0,
                    min=0,
                    max=4096,
                    tooltip="Number of the picture, from 1; 0 for all of them.",
                ),
                io.Float.Input(
                    "opacity",
                    default=0.65,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much the strongest colour covers of the picture.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="overlay", tooltip="The picture under the map, with a legend."
                ),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="1 where the style explains the picture most, at the size and place of "
                    "the picture as it was given; 0 where the model did not see it.",
                ),
            ],
            **aliases("attention map", "where is the style", "saliency", "mask"),
        )

    @classmethod
    def execute(cls, attribution, group="", picture=0, opacity=0.65):
        chosen = chosen_maps(attribution, group.strip(), picture)
        painted = [paint(attribution, i, name, opacity) for i, name in chosen]
        overlays, masks = zip(*painted, strict=True)
        return io.NodeOutput(to_batch(overlays), together(masks))


def together(masks):
    """(n, H, W); smaller ones get a margin of zeros at the right and the bottom."""
    import torch

    height, width = (max(m.shape[i] for m in masks) for i in (0, 1))
    batch = torch.zeros(len(masks), height, width)
    for row, mask in zip(batch, masks, strict=True):
        row[: mask.shape[0], : mask.shape[1]] = mask
    return batch


def chosen_maps(attribution, group: str, picture: int) -> list[tuple[int, str]]:
    """(index of the picture, group) of every map asked for. Raises ConfigError."""
    count = len(attribution.images)
    if picture > count:
        raise ConfigError(f"picture is {picture}; there are {count}, or give 0 for all.")
    if group and group not in attribution.groups:
        raise ConfigError(
            f"group is {group!r}; choose one of: {', '.join(attribution.groups)}; or leave it "
            "empty for the leading style."
        )
    numbers = [picture - 1] if picture else range(count)
    return [(i, group or attribution.images[i].scores[0].group) for i in numbers]


def paint(attribution, index: int, group: str, opacity: float):
    """Overlay with legend (Pillow) and mask (H, W), on the scale of the report's sheet.

    Both lie over the picture as it was given, where the model saw it.
    """
    from ..guda.report import heatmap, placed, wording

    scale = placed.scale_of(attribution, index)
    at = attribution.original_of(index), attribution.pictures[index]
    heat = attribution.map_of(index, group)
    image = placed.overlay(*at, heat, scale, opacity)
    image = heatmap.with_legend(image, scale, group, wording.unit(attribution))
    return image, placed.mask(*at, heat, scale)
