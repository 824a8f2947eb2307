"""A null pool by any model that ComfyUI samples: the model of the graph itself answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..guda.config import ElboConfig, SampleConfig
from ..guda.errors import ImageError
from ..guda.files import write_text
from ..guda.settings import digest
from . import places, settings
from .convert import from_batch
from .from_images import picture_hash, shown
from .lists import singled
from .null import FORMS, pooled, seen, size_and_prompts
from .presets import chosen, preset_input
from .question import asked_for, groups_and_resolution
from .runtime import normal_mode
from .types import CATEGORY, Null, aliases, lines_input


class GudaNullPoolAny(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaNullPoolAny",
            display_name="Null Pool (Any Model)",
            category=CATEGORY,
            description="Scores pictures that have nothing to do with the styles, once, by the "
            "model that the graph samples with, and keeps them. Attribute to Styles (Any Model) "
            "then names a style only where a picture stands out further than all but a few of "
            "them, so that at most 5 % of the names are false.",
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The same as in Attribute to Styles (Any Model), with its LoRAs and "
                    "patches.",
                ),
                io.Clip.Input("clip", tooltip="The model's text encoder, with its LoRAs."),
                io.Vae.Input("vae", tooltip="The model's VAE."),
                lines_input(
                    "styles",
                    "Van Gogh: van gogh\nHokusai: hokusai",
                    tooltip="The same as in Attribute to Styles (Any Model), one per line. Empty "
                    "where groups are linked.",
                ),
                *size_and_prompts(),
                *settings.inputs(ElboConfig, but=("batch_size",), shown=False),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="Pictures that are surely in none of the styles, and of the kind that "
                    "you ask about: a batch or a list. Without it and without folder the model "
                    "draws them, for questions about what it draws.",
                ),
                lines_input(
                    "contents",
                    "a cat\na mountain",
                    optional=True,
                    tooltip="What the pictures in image show: a list of texts, one per picture, or "
                    "one line per picture, or one line for all. Of drawn ones: what they shall "
                    "show, one per line; empty for everyday subjects.",
                ),
                io.String.Input(
                    "folder",
                    optional=True,
                    default="",
                    dynamic_prompts=False,
                    tooltip="In place of image: a folder of such pictures in ComfyUI's input "
                    "folder. What each shows is told by a .txt file beside it, or by its name.",
                ),
                *groups_and_resolution(),
                io.Conditioning.Input(
                    "positive",
                    optional=True,
                    tooltip="The conditioning that is linked to positive there. What stands beside "
                    "its text goes along with every prompt: Flux' guidance, SDXL's sizes, "
                    "reference pictures. Its text is not used.",
                ),
                preset_input(),
                settings.advanced(
                    io.Int.Input(
                        "steps",
                        default=SampleConfig.steps,
                        min=1,
                        max=1000,
                        control_after_generate=False,
                        tooltip="Steps of the pictures that the model draws, as in your KSampler.",
                        optional=True,
                    )
                ),
                settings.advanced(
                    io.Float.Input(
                        "cfg",
                        default=0.0,
                        min=0.0,
                        max=50.0,
                        step=0.1,
                        tooltip="Guidance of the pictures that the model draws, as in your "
                        "KSampler. 0: what suits the kind of model, 1 where guidance or few steps "
                        "were distilled into it and 5 for others.",
                        optional=True,
                    )
                ),
            ],
            outputs=[
                Null.Output(
                    display_name="null_pool", tooltip="For Attribute to Styles (Any Model)."
                ),
                io.String.Output(display_name="summary", tooltip="What the pool is made of."),
            ],
            is_output_node=True,
            is_input_list=True,
            **aliases("false positives", "p-value", "significance", "baseline pictures", "flux"),
        )

    @classmethod
    def fingerprint_inputs(cls, folder=("",), **others):
        return seen(folder[0])

    @classmethod
    @normal_mode
    def execute(cls, model, clip, vae, styles, contents=("",), image=(), **values):
        from ..guda.groups import parse_contents, unrelated
        from ..guda.groups.contents import CONTENTS
        from ..guda.jobs.null import NullRequest
        from . import conditioning, kinds
        from .native import NativeModel

        given = singled(values)
        without = asked_for(None, given.get("groups"), styles[0])
        images = folder_of(image, contents, given.get("folder", ""))
        made: Any = NativeModel(model[0], clip[0], vae[0], "my-model", given.get("resolution", 0))
        conditioning.of_native(made, given.get("positive", []), 1)
        config = chosen(settings.read(ElboConfig, given), given.get("preset"), direct=True)
        request = NullRequest(
            made,
            without,
            places.null_folder(),
            given.get("size", 200),
            (given.get("prompts", FORMS[0]),),
            images,
            contents=parse_contents("\n".join(contents)) or CONTENTS,
            config=config,
            sampling=SampleConfig(
                steps=given.get("steps", SampleConfig.steps),
                guidance=given.get("cfg") or kinds.guidance_of(model[0]),
            ),
            general=unrelated.general(without.phrases),
        )
        return pooled(request)


def folder_of(images, contents, folder: str) -> Path | None:
    """Where the pictures lie that have nothing to do with the styles; None where the model is to
    draw them. Raises ImageError."""
    pictures = [p for batch in images if batch is not None for p in from_batch(batch)]
    if pictures and folder.strip():
        raise ImageError(
            "Both image and folder give pictures that have nothing to do with the styles; use one "
            "of them."
        )
    if pictures:
        return kept(pictures, contents)
    return Path(places.group_folder(folder, "pictures")) if folder.strip() else None


def kept(pictures, contents) -> Path:
    """A folder of these pictures, by what is in them, and of what they show; written once."""
    from ..guda.groups.pictures import save_png

    said = shown(contents, len(pictures))
    names = [picture_hash(p)[:16] for p in pictures]
    folder = places.given_folder() / f"null-{digest(names, said)[:16]}"
    for name, picture, text in zip(names, pictures, said, strict=True):
        if not (folder / f"{name}.txt").exists():
            save_png(picture, folder / f"{name}.png")
            write_text(folder / f"{name}.txt", text)
    return folder
