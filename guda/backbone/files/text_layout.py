"""Names and shapes of CLIP text encoders in a checkpoint: transformers' way, or OpenCLIP's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .layout import Shapes, count

_OPENCLIP = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}


class TextShape(NamedTuple):
    """What the names and shapes tell of a CLIP text encoder."""

    vocabulary: int
    width: int
    positions: int
    layers: int
    inner: int
    projection: int  # 0: none


def text_shape(shapes: Shapes, layout: str) -> TextShape:
    """Raises KeyError when the names are not those of a CLIP text encoder."""
    if layout == "clip":
        first, table, blocks = "mlp.fc1", "embeddings.token_embedding.weight", "encoder.layers."
        positions = shapes["embeddings.position_embedding.weight"][0]
    else:
        first, table, blocks = "mlp.c_fc", "token_embedding.weight", "transformer.resblocks."
        positions = shapes["positional_embedding"][0]
    vocabulary, width = shapes[table]
    return TextShape(
        vocabulary=vocabulary,
        width=width,
        positions=positions,
        layers=count(shapes, blocks),
        inner=shapes[f"{blocks}0.{first}.weight"][0],
        projection=shapes.get("text_projection", (0, 0))[1],
    )


def text_names(shapes: Shapes, layout: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(file name, names in transformers' CLIPTextTransformer); three where q, k and v are one."""
    for key in shapes:
        head, _, last = key.rpartition(".")
        if layout == "clip":
            if key != "embeddings.position_ids":
                yield key, (key,)
        elif key.startswith("transformer.resblocks."):
            _, _, n, inner = head.split(".", 3)
            at = f"encoder.layers.{n}"
            if last in ("in_proj_weight", "in_proj_bias"):
                kind = last.removeprefix("in_proj_")
                yield key, tuple(f"{at}.self_attn.{x}_proj.{kind}" for x in "qkv")
            else:
                yield key, (f"{at}.{_OPENCLIP[inner]}.{last}",)
        elif key in _OPENCLIP_OUTER:
            yield key, (_OPENCLIP_OUTER[key],)


_OPENCLIP_OUTER = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
    "text_projection": "text_projection.weight",
}
