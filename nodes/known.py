"""Which styles does the model know by their names?"""

from __future__ import annotations

from comfy_api.latest import io

from ..guda.errors import GroupsError
from ..guda.groups.captions import TEMPLATE
from . import settings
from .runtime import normal_mode, on_device, plan, run
from .types import CATEGORY, Groups, aliases, lines_input, model_input


class GudaStylesKnown(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaStylesKnown",
            display_name="Styles the Model Knows",
            category=CATEGORY,
            description="Tells for every style whether the model knows it by its name: how far its "
            "phrase moves the model's answers, beside made-up names. A list of hundreds is asked "
            "at once.",
            inputs=[
                model_input(),
                lines_input(
                    "styles",
                    "Van Gogh: van gogh\nHokusai: hokusai",
                    tooltip="One style per line, as 'Name: phrase', or just the phrase that "
                    "prompts use. Empty where groups are linked.",
                ),
                Groups.Input(
                    "groups",
                    optional=True,
                    tooltip="In place of styles: style groups, asked for by their phrases.",
                ),
                lines_input(
                    "contents",
                    "a cat\na mountain",
                    optional=True,
                    tooltip="What is shown in the styles, one per line, at least two; every "
                    "interval is one over these. Empty: six everyday subjects.",
                ),
                settings.advanced(
                    io.String.Input(
                        "template",
                        default="",
                        placeholder=TEMPLATE,
                        dynamic_prompts=False,
                        tooltip="How a prompt is made from {content} and {style}. Empty: that of "
                        f"the groups, else '{TEMPLATE}'.",
                        optional=True,
                    )
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="table", tooltip="One row per style, as Markdown, for Preview Any."
                ),
                io.String.Output(
                    display_name="known",
                    tooltip="The known styles, one per line: link it to styles of Attribute to "
                    "Styles or of Style Groups from Prompts.",
                ),
            ],
            is_output_node=True,
            **aliases("which artists", "does the model know", "artist list", "style names"),
        )

    @classmethod
    @normal_mode
    def execute(cls, model, styles="", groups=None, contents="", template=""):
        from ..guda.groups import parse_contents
        from ..guda.jobs.styles import CONTENTS, StylesRequest, survey
        from ..guda.report.known import to_markdown
        from ..guda.scoring.known import Knowledge

        asked = asked_for(styles, groups, template.strip())
        request = StylesRequest(model, asked, parse_contents(contents) or CONTENTS)
        with on_device(model):
            work = survey(request)
            note = plan(work.price())
            told = run(work.run(), note=note)
        sure = [s for s in told.styles if s.knowledge is Knowledge.KNOWN]
        known = "\n".join(f"{s.style}: {s.phrase}" for s in sure)
        return io.NodeOutput(to_markdown(told), known)


def asked_for(styles, groups, template):
    """The styles from the one input that says them. Raises GroupsError."""
    from dataclasses import replace

    from ..guda.counterfactuals.direct import DirectCounterfactuals
    from ..guda.groups import parse_styles

    if groups is not None and styles.strip():
        raise GroupsError("Both styles and groups say which styles to ask for; use one of them.")
    if groups is None:
        return DirectCounterfactuals.named(parse_styles(styles), template or TEMPLATE)
    made = DirectCounterfactuals.of(groups)
    return replace(made, template=template) if template else made
