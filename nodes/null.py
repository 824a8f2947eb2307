"""Pictures that have nothing to do with the styles, against which verdicts are held."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ..guda.config import ElboConfig
from ..guda.errors import GroupsError
from . import changes, places, settings
from .presets import chosen, preset_input
from .progress import Pooling
from .question import asked_for
from .runtime import normal_mode, on_device, plan, run
from .types import CATEGORY, Counterfactuals, Groups, Null, aliases, lines_input, model_input

FORMS = ("content", "none", "named")


class GudaNullPool(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaNullPool",
            display_name="Null Pool",
            category=CATEGORY,
            description="Scores pictures that have nothing to do with the styles, once, and keeps "
            "them. Attribute to Styles then names a style only where a picture stands out further "
            "than all but a few of them, so that at most 5 % of the names are false.",
            inputs=[
                model_input(),
                Counterfactuals.Input(
                    "counterfactuals",
                    optional=True,
                    tooltip="The same as in Attribute to Styles; or link groups or write styles, "
                    "as there. The pool is kept in the set's folder.",
                ),
                *size_and_prompts(),
                *settings.inputs(ElboConfig, but=("shape",), shown=False),
                Groups.Input(
                    "groups",
                    optional=True,
                    tooltip="In place of counterfactuals: style groups that the model itself "
                    "answers for.",
                ),
                lines_input(
                    "styles",
                    "Van Gogh: van gogh\nHokusai: hokusai",
                    optional=True,
                    tooltip="In place of counterfactuals and groups: one style per line.",
                ),
                lines_input(
                    "contents",
                    "a cat\na mountain",
                    optional=True,
                    tooltip="What the drawn pictures show, one per line, alike in kind to the "
                    "pictures in question. Empty: everyday subjects.",
                ),
                io.String.Input(
                    "folder",
                    optional=True,
                    default="",
                    dynamic_prompts=False,
                    tooltip="For questions about real pictures: a folder of pictures that are "
                    "surely in none of the styles, in ComfyUI's input folder. Empty: the model "
                    "draws them, for questions about what it draws.",
                ),
                preset_input(),
            ],
            outputs=[
                Null.Output(display_name="null_pool", tooltip="For Attribute to Styles."),
                io.String.Output(display_name="summary", tooltip="What the pool is made of."),
            ],
            is_output_node=True,
            **aliases("false positives", "p-value", "significance", "baseline pictures"),
        )

    @classmethod
    def fingerprint_inputs(cls, folder="", **others):
        return seen(folder)

    @classmethod
    @normal_mode
    def execute(cls, model, size=200, prompts="content", contents="", folder="", **values):
        from ..guda.counterfactuals.direct import DirectCounterfactuals
        from ..guda.groups import parse_contents
        from ..guda.groups.contents import CONTENTS
        from ..guda.jobs.null import NullRequest

        without = asked_for(*(values.get(n) for n in ("counterfactuals", "groups", "styles")))
        direct = isinstance(without, DirectCounterfactuals)
        config = settings.read(ElboConfig, values)
        config = chosen(config, values.get("preset"), direct=direct)
        images = places.group_folder(folder, "pictures") if folder.strip() else None
        request = NullRequest(
            model,
            without,
            getattr(without, "folder", None) or places.null_folder(),
            size,
            (prompts,),
            images,
            contents=parse_contents(contents) or CONTENTS,
            config=config,
        )
        with on_device(model):
            return pooled(request)


def seen(folder) -> str:
    """For `fingerprint_inputs`: changes when a picture of the folder that is written does."""
    try:
        return changes.seen(places.group_folder(folder, "pictures")) if folder else ""
    except GroupsError:
        return ""  # which `execute` says


def pooled(request):
    """The node's outputs, once the pool is there; it lies in the folder `out`."""
    from ..guda.jobs import basis
    from ..guda.jobs.null import survey
    from ..guda.report.notes import made_of

    now = basis.of(request.backbone, request.counterfactuals, request.config)
    file = basis.file_of(now, request.origin, request.drawing)
    work = survey(replace(request, out=request.out / file))
    note = plan(work.price())
    pool = run(work.run(), Pooling(), note)
    lines = made_of(pool.counts())
    return io.NodeOutput(pool, "\n".join(lines), ui={"text": lines})


def size_and_prompts():
    """Inputs of every node that makes a pool."""
    return [
        io.Int.Input(
            "size",
            default=200,
            min=4,
            max=100_000,
            tooltip="Pictures that have nothing to do with the styles. From 45 on a "
            "verdict is possible; 200 are a good choice. More may be added later: what is "
            "there is kept.",
        ),
        io.Combo.Input(
            "prompts",
            options=list(FORMS),
            default="content",
            tooltip="How they are asked, as the pictures in question will be: content, "
            "with what is shown; none, with no prompt; named, with one of the styles' "
            "names in the prompt. Others may be added to the same pool.",
        ),
    ]
