"""Style groups: from pictures in folders, or from prompts that the model draws itself."""

from __future__ import annotations

from comfy_api.latest import io

from ..guda.config import SampleConfig
from ..guda.groups.captions import TEMPLATE
from . import changes, places, settings
from .progress import Drawing
from .runtime import Written, normal_mode, on_device, problem, run, send_text
from .types import CATEGORY, Groups, aliases, model_input

PICTURES = Written()


def _groups_output():
    return Groups.Output(display_name="groups", tooltip="The style groups, for Unlearn Styles.")


class GudaGroupsFromFolder(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaGroupsFromFolder",
            display_name="Style Groups from Folder",
            category=CATEGORY,
            description="Reads style groups from a folder: one folder of pictures per style, with "
            "captions from .txt or .caption files, metadata.jsonl or .csv, or the names of "
            "sub-folders and files.",
            inputs=[
                io.String.Input(
                    "folder",
                    default="",
                    placeholder="styles",
                    tooltip="Folder that holds one folder per style, in ComfyUI's input folder; or "
                    "a full path in its input, output or models folder, or in one that its owner "
                    f"allows. '{places.EXAMPLE}' is a small one to try.",
                ),
                settings.advanced(
                    io.String.Input(
                        "template",
                        default="",
                        placeholder=TEMPLATE,
                        tooltip="How a caption is made for pictures without one, with {content} "
                        f"and {{style}}. Empty: the template of groups.json, else '{TEMPLATE}'.",
                        optional=True,
                    )
                ),
                io.Combo.Input(
                    "input_folder",
                    options=places.input_folders(),
                    default=places.WRITTEN,
                    optional=True,
                    tooltip="A folder of ComfyUI's input folder that holds two folders or more, in "
                    "place of one that is written into folder. Press R to refresh the list.",
                ),
            ],
            outputs=[
                _groups_output(),
                io.String.Output(
                    display_name="summary",
                    tooltip="For every style: pictures, where the captions are from, three whole "
                    "prompts, what was left out and what was guessed.",
                ),
            ],
            **aliases("artists", "training pictures", "dataset", "style folder"),
        )

    @classmethod
    def validate_inputs(cls, folder, input_folder=places.WRITTEN):
        return problem(lambda: folder is None or places.group_folder(said(folder, input_folder)))

    @classmethod
    def fingerprint_inputs(cls, folder, template="", input_folder=places.WRITTEN):
        asked = said(folder, input_folder)
        return changes.seen(places.group_folder(asked)) if asked else ""

    @classmethod
    @normal_mode
    def execute(cls, folder, template="", input_folder=places.WRITTEN):
        from ..guda.groups import check_pictures, load_folder, telling

        chosen = places.group_folder(said(folder, input_folder))
        groups = load_folder(chosen, template=template.strip() or None)
        check_pictures(groups)
        send_text(telling.to_text(groups, short=True))
        return io.NodeOutput(groups, telling.to_text(groups))


def said(folder: str | None, input_folder: str | None) -> str:
    """The folder that is chosen from the list, else the one that is written."""
    chosen = (input_folder or places.WRITTEN) != places.WRITTEN
    return str(input_folder) if chosen else folder or ""


class GudaGroupsFromPrompts(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        from ..guda.demo import CONTENTS, STYLES
        from ..guda.groups.contents import CONTENTS as SUBJECTS

        return io.Schema(
            node_id="GudaGroupsFromPrompts",
            display_name="Style Groups from Prompts",
            category=CATEGORY,
            description="Makes style groups without any pictures at hand: the model draws the same "
            "contents in every style. Pictures are kept in user/guda/pictures and reused.",
            inputs=[
                model_input(),
                io.String.Input(
                    "styles",
                    multiline=True,
                    dynamic_prompts=False,
                    default="\n".join(f"{name}: {phrase}" for name, phrase in STYLES.items()),
                    tooltip="One style per line, as 'Name: phrase', or just the phrase that "
                    "prompts use. 'Name: phrase | other words' describes the style further. # "
                    "starts a comment.",
                ),
                io.String.Input(
                    "contents",
                    multiline=True,
                    dynamic_prompts=False,
                    default="\n".join(CONTENTS),
                    tooltip="What the pictures show, one per line; every style shows the same. "
                    f"Empty: {len(SUBJECTS)} everyday subjects, from portraits to landscapes.",
                ),
                *settings.inputs(SampleConfig),
                settings.advanced(
                    io.String.Input(
                        "template",
                        default=TEMPLATE,
                        dynamic_prompts=False,
                        tooltip="How a prompt is made from {content} and {style}.",
                        optional=True,
                    )
                ),
            ],
            outputs=[
                _groups_output(),
                io.Image.Output(
                    display_name="preview",
                    tooltip="A contact sheet: the first pictures of each style, one row per style.",
                ),
            ],
            **aliases("artists", "style names", "draw styles"),
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        return PICTURES.fingerprint(_constants(inputs))

    @classmethod
    @normal_mode
    def execute(cls, model, styles, contents, template=TEMPLATE, **values):
        from ..guda.groups import from_prompts, parse_contents, parse_styles
        from ..guda.groups.contents import CONTENTS
        from ..guda.groups.draw import generate_pictures
        from ..guda.scoring.explains import check_reading
        from .sheets import contact_sheet

        config = settings.read(SampleConfig, values)
        styled, shown = parse_styles(styles), parse_contents(contents) or CONTENTS
        groups = from_prompts(styled, shown, pictures=config.pictures, template=template)
        folder = places.pictures_folder(model.name)
        with on_device(model):
            run(check_reading(model))
            groups = run(generate_pictures(model, groups, config, folder), Drawing(lasting=True))
        constants = {"styles": styles, "contents": contents, "template": template, **values}
        PICTURES.note(_constants(constants), (e.path for g in groups for e in g.examples if e.path))
        return io.NodeOutput(groups, contact_sheet(groups))


def _constants(inputs: dict) -> dict:
    """Without the links, which a fingerprint cannot see."""
    return {"template": TEMPLATE} | {k: v for k, v in inputs.items() if k != "model"}
