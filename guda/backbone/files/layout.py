"""Names and shapes of a checkpoint file, and the diffusers modules that they describe.

A checkpoint file and ComfyUI's models share one layout, that of the first Stable Diffusion code
("model.diffusion_model.input_blocks.1.0.in_layers.0.weight"). Nothing here reads a weight: every
function takes `Shapes`, the names with their shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

UNET, VAE = "model.diffusion_model.", "first_stage_model."
TIME_WIDTH = 256
"""Width of the embedding of each of SDXL's six size numbers; the rest of `added` is pooled text."""
_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_OUTER = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_VAE_RESNET = {"nin_shortcut": "conv_shortcut"}
_VAE_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}


class UnetShape(NamedTuple):
    """What the names and shapes tell of a UNet; depths are transformer blocks per resnet."""

    in_channels: int
    out_channels: int
    channels: tuple[int, ...]
    layers: tuple[int, ...]
    down: tuple[tuple[int, ...], ...]
    middle: int
    up: tuple[tuple[int, ...], ...]
    context: int  # width of the text embeddings
    linear: bool  # projections around the transformer blocks are linear layers, not convolutions
    added: int  # width of what is added to the time embedding; 0: nothing


def below(shapes: Shapes, prefix: str) -> dict[str, Shape]:
    """The entries under `prefix`, without it."""
    return {k[len(prefix) :]: s for k, s in shapes.items() if k.startswith(prefix)}


def count(shapes: Shapes, prefix: str) -> int:
    """How many of `prefix`0., `prefix`1. ... there are."""
    found = {k[len(prefix) :].split(".")[0] for k in shapes if k.startswith(prefix)}
    n = 0
    while str(n) in found:
        n += 1
    return n


def unet_shape(shapes: Shapes) -> UnetShape:
    """Raises KeyError when the names are not those of a Stable Diffusion UNet."""
    channels: list[int] = []
    down: list[list[int]] = [[]]
    for n in range(1, count(shapes, "input_blocks.")):
        at = f"input_blocks.{n}"
        if f"{at}.0.op.weight" in shapes:
            down.append([])
            continue
        if len(channels) < len(down):
            channels.append(shapes[f"{at}.0.out_layers.3.weight"][0])
        down[-1].append(_depth(shapes, f"{at}.1"))
    up: list[tuple[int, ...]] = []
    start = 0
    for level in reversed(down):
        up.append(
            tuple(_depth(shapes, f"output_blocks.{start + i}.1") for i in range(len(level) + 1))
        )
        start += len(level) + 1
    keys = [k for k in shapes if k.endswith("transformer_blocks.0.attn2.to_k.weight")]
    head = keys[0].partition("transformer_blocks")[0] if keys else ""
    return UnetShape(
        in_channels=shapes["input_blocks.0.0.weight"][1],
        out_channels=shapes["out.2.weight"][0],
        channels=tuple(channels),
        layers=tuple(map(len, down)),
        down=tuple(map(tuple, down)),
        middle=_depth(shapes, "middle_block.1"),
        up=tuple(up),
        context=shapes[keys[0]][1] if keys else 0,
        linear=bool(head) and len(shapes[f"{head}proj_in.weight"]) == 2,
        added=shapes.get("label_emb.0.0.weight", (0, 0))[1],
    )


def _depth(shapes: Shapes, at: str) -> int:
    return count(shapes, f"{at}.transformer_blocks.")


def unet_config(found: UnetShape, family: Mapping[str, Any], sample_size: int) -> dict[str, Any]:
    """Arguments of `UNet2DConditionModel`. Raises ValueError for what diffusers cannot hold."""
    ragged = len(set(found.layers)) > 1 or any(
        len(set(level)) > 1 for level in (*found.down, *found.up)
    )
    if ragged or not found.middle:
        raise ValueError("its transformer blocks are spread unevenly")
    own = family["unet"]
    heads = own.get("heads") or [max(1, c // own["head_width"]) for c in found.channels]
    down, up = [d[0] for d in found.down], [u[0] for u in found.up]
    config = {
        "sample_size": sample_size,
        "in_channels": found.in_channels,
        "out_channels": found.out_channels,
        "block_out_channels": found.channels,
        "layers_per_block": found.layers[0],
        "down_block_types": tuple("CrossAttnDownBlock2D" if d else "DownBlock2D" for d in down),
        "up_block_types": tuple("CrossAttnUpBlock2D" if u else "UpBlock2D" for u in up),
        "transformer_layers_per_block": [max(1, d) for d in down[:-1]] + [found.middle],
        "cross_attention_dim": found.context,
        "attention_head_dim": heads,
        "use_linear_projection": own["use_linear_projection"],
        "upcast_attention": own["upcast_attention"],
    }
    if down != up[::-1] or down[-1] not in (0, found.middle):
        raise ValueError("its transformer blocks differ between the way down and the way up")
    if found.added:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": TIME_WIDTH,
            "projection_class_embeddings_input_dim": found.added,
        }
    return config


def unet_names(shapes: Shapes) -> dict[str, str]:
    """File name -> diffusers name, of every tensor of a UNet."""
    shape = unet_shape(shapes)
    places = dict(_OUTER) | {
        "middle_block.0": "mid_block.resnets.0",
        "middle_block.1": "mid_block.attentions.0",
        "middle_block.2": "mid_block.resnets.1",
    }
    n = 1
    for b, layers in enumerate(shape.layers):
        for i in range(layers):
            places[f"input_blocks.{n}.0"] = f"down_blocks.{b}.resnets.{i}"
            places[f"input_blocks.{n}.1"] = f"down_blocks.{b}.attentions.{i}"
            n += 1
        places[f"input_blocks.{n}.0.op"] = f"down_blocks.{b}.downsamplers.0.conv"
        n += 1
    n = 0
    for b, depths in enumerate(shape.up):
        for i, depth in enumerate(depths):
            places[f"output_blocks.{n}.0"] = f"up_blocks.{b}.resnets.{i}"
            if depth:
                places[f"output_blocks.{n}.1"] = f"up_blocks.{b}.attentions.{i}"
            places[f"output_blocks.{n}.{2 if depth else 1}.conv"] = (
                f"up_blocks.{b}.upsamplers.0.conv"
            )
            n += 1
    return _renamed(shapes, places, {".resnets.": _RESNET})


def vae_config(shapes: Shapes, family: Mapping[str, Any], sample_size: int) -> dict[str, Any]:
    """Arguments of `AutoencoderKL`. Raises KeyError when the names are not those of one."""
    levels = count(shapes, "encoder.down.")
    channels = [shapes[f"encoder.down.{i}.block.0.conv1.weight"][0] for i in range(levels)]
    return {
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "block_out_channels": channels,
        "layers_per_block": count(shapes, "encoder.down.0.block."),
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "sample_size": sample_size,
        "scaling_factor": family["vae"]["scaling_factor"],
    }


def vae_names(shapes: Shapes) -> dict[str, str]:
    """File name -> diffusers name, of every tensor of a VAE."""
    levels = count(shapes, "encoder.down.")
    places = {k: k for k in ("quant_conv", "post_quant_conv")}
    for half in ("encoder", "decoder"):
        places |= {f"{half}.{k}": f"{half}.{k}" for k in ("conv_in", "conv_out")}
        places |= {
            f"{half}.norm_out": f"{half}.conv_norm_out",
            f"{half}.mid.block_1": f"{half}.mid_block.resnets.0",
            f"{half}.mid.block_2": f"{half}.mid_block.resnets.1",
            f"{half}.mid.attn_1": f"{half}.mid_block.attentions.0",
        }
        way, sampler, step = ("down", "down", 1) if half == "encoder" else ("up", "up", -1)
        for i in range(levels):
            b = i if step > 0 else levels - 1 - i
            block = f"{half}.{way}_blocks.{b}"
            places[f"{half}.{way}.{i}.{sampler}sample.conv"] = f"{block}.{sampler}samplers.0.conv"
            for j in range(count(shapes, f"{half}.{way}.{i}.block.")):
                places[f"{half}.{way}.{i}.block.{j}"] = f"{block}.resnets.{j}"
    return _renamed(shapes, places, {".resnets.": _VAE_RESNET, ".attentions.": _VAE_ATTENTION})


def _renamed(
    shapes: Shapes, places: Mapping[str, str], inner: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Names whose beginning is in `places`, the rest by the table of the module that it is in."""
    names: dict[str, str] = {}
    for key in shapes:
        parts = key.split(".")
        for cut in range(len(parts) - 1, 0, -1):
            place = places.get(".".join(parts[:cut]))
            if place is None:
                continue
            middle, last = ".".join(parts[cut:-1]), parts[-1]
            table = next((t for mark, t in inner.items() if mark in place), {})
            names[key] = ".".join(x for x in (place, table.get(middle, middle), last) if x)
            break
    return names
