"""Style groups from the graph's own pictures."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from comfy_api.latest import io
from torch import Tensor

from ..guda.errors import GroupsError
from ..guda.files import slugify, write_text
from ..guda.settings import digest
from . import places
from .convert import from_batch
from .runtime import normal_mode, send_text
from .types import CATEGORY, Groups, Style, aliases, lines_input

SOCKETS = 10
PLAIN = "a picture"  # what a picture without a text is said to show
FORBIDDEN = set('/\\:*?"<>|')


class GivenStyle(NamedTuple):
    """One style as the graph has it."""

    name: str
    phrase: str
    pictures: tuple[Tensor, ...]  # (3, H, W) each
    texts: tuple[str, ...]


class GudaStyleFromImages(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaStyleFromImages",
            display_name="Style from Images",
            category=CATEGORY,
            description="Makes one style of pictures that the graph has: a list or a batch, with "
            "their texts, from ComfyUI's own Load Image-Text nodes for example. Style Groups from "
            "Images joins several.",
            inputs=[
                io.Image.Input(
                    "images", tooltip="The style's pictures, four or more: a list or a batch."
                ),
                io.String.Input(
                    "name", default="", placeholder="Monet", tooltip="What the style is called."
                ),
                io.String.Input(
                    "phrase",
                    default="",
                    placeholder="the name, in small letters",
                    dynamic_prompts=False,
                    optional=True,
                    tooltip="What prompts call the style. Empty: its name in small letters.",
                ),
                lines_input(
                    "texts",
                    "a pond\na bridge",
                    optional=True,
                    tooltip="What the pictures show: a list of texts, one per picture, or one line "
                    "per picture, or one line for all. The style may be named in them.",
                ),
            ],
            outputs=[
                Style.Output(display_name="style", tooltip="For Style Groups from Images."),
            ],
            is_input_list=True,
            **aliases("artist", "image list", "captions", "training pictures", "dataset"),
        )

    @classmethod
    @normal_mode
    def execute(cls, images, name, phrase=("",), texts=("",)):
        title = " ".join(name[0].split())
        if not title or title.startswith(".") or FORBIDDEN & set(title):
            raise GroupsError(
                f"name is {name[0]!r}; give the style a name, without any of "
                f"{' '.join(sorted(FORBIDDEN))}, that begins with no dot."
            )
        pictures = tuple(p for batch in images for p in from_batch(batch))
        said = shown(texts, len(pictures))
        made = GivenStyle(title, phrase[0].strip() or title.casefold(), pictures, said)
        return io.NodeOutput(made)


def shown(texts, count: int) -> tuple[str, ...]:
    """A text per picture. Raises GroupsError."""
    lines = [" ".join((t or "").split()) for t in texts]
    if len(lines) == 1:
        lines = [line.strip() for line in (texts[0] or "").strip().splitlines()] or [""]
    if len(lines) not in (1, count):
        raise GroupsError(
            f"{len(lines)} texts were given for {count} pictures; give one for all, or one per "
            "picture."
        )
    return tuple(line or PLAIN for line in lines * (count if len(lines) == 1 else 1))


class GudaGroupsFromImages(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        names = [f"style_{i}" for i in range(1, SOCKETS + 1)]
        return io.Schema(
            node_id="GudaGroupsFromImages",
            display_name="Style Groups from Images",
            category=CATEGORY,
            description="Joins two or more styles, each from Style from Images, to the groups that "
            "are unlearned or asked for. The pictures are kept, so that nothing is made twice.",
            inputs=[
                Style.Input(
                    name,
                    optional=i > 1,
                    tooltip="From Style from Images. Another input comes with every one linked.",
                )
                for i, name in enumerate(names)
            ],
            outputs=[
                Groups.Output(display_name="groups", tooltip="The style groups."),
                io.String.Output(
                    display_name="summary",
                    tooltip="For every style: its pictures, three whole prompts, what was guessed.",
                ),
            ],
            **aliases("artists", "join styles", "image list", "dataset"),
        )

    @classmethod
    @normal_mode
    def execute(cls, **styles):
        from ..guda.groups import check_pictures, load_folder, telling

        given = [s for _, s in sorted(styles.items(), key=lambda i: int(i[0][6:])) if s is not None]
        groups = load_folder(kept(given))
        check_pictures(groups)
        send_text(telling.to_text(groups, short=True))
        return io.NodeOutput(groups, telling.to_text(groups))


def kept(styles: list[GivenStyle]) -> Path:
    """A folder of these pictures and texts, which `load_folder` reads; written once."""
    from ..guda.groups.pictures import save_png

    names = [s.name.casefold() for s in styles]
    for style in styles:
        if names.count(style.name.casefold()) > 1:
            raise GroupsError(f"Two styles are called {style.name!r}; rename one.")
    told = [(s.name, s.phrase, s.texts, [picture_hash(p) for p in s.pictures]) for s in styles]
    folder = places.given_folder() / digest("given styles", *told)[:16]
    marker: dict[str, Any] = {"groups": {s.name: {"style": s.phrase} for s in styles}}
    if (folder / "groups.json").is_file():
        return folder
    for style in styles:
        for i, (picture, text) in enumerate(zip(style.pictures, style.texts, strict=True), 1):
            stem = folder / style.name / f"{slugify(style.name)}-{i:04}"
            save_png(picture, stem.with_suffix(".png"))
            write_text(stem.with_suffix(".txt"), text)
    write_text(folder / "groups.json", json.dumps(marker, ensure_ascii=False))
    return folder


def picture_hash(picture: Tensor) -> str:
    pixels = (picture * 255).round().byte().contiguous()
    return hashlib.blake2b(
        repr(tuple(pixels.shape)).encode() + pixels.numpy().tobytes()
    ).hexdigest()
