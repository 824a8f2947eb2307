"""Scores: how much worse would the model fit a picture had it never learned a style?"""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ..guda.config import ElboConfig
from ..guda.errors import CounterfactualError
from . import cluster, places, settings
from .convert import to_batch
from .lists import asked, prompts_of, singled
from .payload import payload
from .presets import chosen, preset_input
from .progress import Scoring
from .runtime import normal_mode, on_device, plan, run, warning
from .types import (
    CATEGORY,
    AttributionType,
    Counterfactuals,
    Groups,
    Null,
    aliases,
    lines_input,
    model_input,
    pictures_input,
)


class GudaAttribute(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaAttribute",
            display_name="Attribute to Styles",
            category=CATEGORY,
            description="Scores every picture against every style, in nats with an interval: how "
            "much worse would the model fit the picture had it never learned the style?",
            inputs=[
                model_input(),
                Counterfactuals.Input(
                    "counterfactuals",
                    optional=True,
                    tooltip="From Unlearn Styles or Load Counterfactuals; made from this model. "
                    "Without it, link groups or write styles: the model itself answers at once.",
                ),
                pictures_input(),
                lines_input(
                    "prompt",
                    "what the picture shows",
                    tooltip="The prompt of the picture, or a description, however many lines it "
                    "has. It may be empty. One prompt per picture comes as a list.",
                ),
                *settings.inputs(ElboConfig, but=("shape",), shown=False),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="Latents from a KSampler of the same kind of model, scored as they "
                    "are: in their own size and without the loss of a round trip through the VAE. "
                    "The image beside them is then only shown.",
                ),
                Groups.Input(
                    "groups",
                    optional=True,
                    tooltip="In place of counterfactuals: style groups that the model itself "
                    "answers for at once, by their phrases. Nothing is unlearned.",
                ),
                lines_input(
                    "styles",
                    "Van Gogh: van gogh\nHokusai: hokusai",
                    optional=True,
                    tooltip="In place of counterfactuals and groups: one style per line, as "
                    "'Name: phrase', or just the phrase that prompts use. The model itself answers "
                    "for them at once.",
                ),
                one_source_input(),
                Null.Input(
                    "null_pool",
                    optional=True,
                    tooltip="From Null Pool, asked with the same settings: a style is then named "
                    "only where the picture stands out further than all but a few that have "
                    "nothing to do with the styles. The pool in the counterfactuals' folder is "
                    "found by itself.",
                ),
                credit_input(),
                io.Conditioning.Input(
                    "positive",
                    optional=True,
                    tooltip="The conditioning that the picture was made with, in place of the "
                    "prompt's text: weights, embeddings and CLIP skip count. For direct answers "
                    "the styles are put into the prompt's text, or behind the conditioning where "
                    "that is empty. Areas, masks, timestep ranges and ControlNets are refused.",
                ),
                *settings.inputs(ElboConfig, only=("shape",), shown=False),
                preset_input(),
                cluster.cluster_input(),
            ],
            outputs=outputs(),
            is_output_node=True,
            is_input_list=True,
            **aliases("which artist", "which style", "provenance", "attribution", "style"),
        )

    @classmethod
    @normal_mode
    def execute(cls, model, **values):
        from ..guda.jobs.against import of_set
        from . import conditioning

        (model,), given = model, singled(values)
        without = asked_for(*(given.get(n) for n in ("counterfactuals", "groups", "styles")))
        request, said = question(model, without, given, by_line=True)
        pool, file = given.get("null_pool"), ""
        if pool is None:
            pool, file = of_set(without, model, request.config)
        there = cluster.chosen(given.get("cluster"), model)
        with on_device(model):
            count = len(request.names)
            positive = conditioning.of_backbone(model, given.get("positive", []), count)
            request = replace(request, null=pool, null_file=file, conditions=positive)
            if there is None:
                return answered(request, said)
            work, note = priced(request, said, there)
        return answer(cluster.attributed(work, there, note))


def question(model, without, given, *, by_line):
    """What the inputs of a node that attributes ask, and what is to be said of them.

    by_line: see `lists.prompts_of`.
    """
    from ..guda.counterfactuals.direct import DirectCounterfactuals
    from ..guda.jobs.attribute import AttributeRequest

    pictures, latents = asked(model, given.get("image", []), given.get("latent", []))
    names = [f"picture {i + 1}" for i in range(len(pictures if latents is None else latents))]
    prompts, said = prompts_of(given.get("prompt", [""]), len(names), by_line=by_line)
    config = settings.read(ElboConfig, given)
    request = AttributeRequest(
        model,
        without,
        pictures,
        names,
        prompts,
        chosen(config, given.get("preset"), direct=isinstance(without, DirectCounterfactuals)),
        latents,
        one_source=bool(given.get("one_source")),
        credit=bool(given.get("credit")),
        kept=places.scores_folder(),
    )
    return request, (*said, *left_out(model, prompts))


def left_out(model, prompts):
    """What a prompt asks for and nobody has, where the graph's CLIP reads it."""
    from .reading import unknown

    names = unknown(prompts) if getattr(model, "weighs_prompts", None) else ()
    if names:
        yield (
            f"Embeddings that are not in models/embeddings are left out: {', '.join(names)}. Put "
            "their files there, or say in words what they stand for."
        )


def answered(request, said):
    """The node's outputs, once the question is answered."""
    work, note = priced(request, said)
    shown = Scoring(request.counterfactuals.names, len(request.names))
    return answer(run(work.run(), shown, note))


def priced(request, said, there=None):
    """The question as work, and what it will take. there: the cluster, where one is asked."""
    from ..guda.jobs import kept
    from ..guda.jobs.attribute import survey

    work = survey(request)
    if there is not None:
        cluster.check(work)
    known = kept.is_known(work)
    first = "The scores are those of an earlier run." if known else plan(work.price())
    return work, "\n".join([first, *map(warning, said)])


def one_source_input():
    return settings.advanced(
        io.Boolean.Input(
            "one_source",
            default=False,
            optional=True,
            tooltip="The pictures are of one source, such as a workflow or an artist: also "
            "says what they lean on together, from 10 pictures on. Many pictures tell more "
            "than one.",
        )
    )


def credit_input():
    return settings.advanced(
        io.Boolean.Input(
            "credit",
            default=False,
            optional=True,
            tooltip="A column of credit in the table and the report, which adds up to at most 1 a "
            "picture and leaves the rest to none of these. No share of money.",
        )
    )


def outputs():
    """Of every node that attributes."""
    return [
        AttributionType.Output(
            display_name="attribution",
            tooltip="All scores and maps, for Style Heat Map and Save Attribution Report.",
        ),
        io.String.Output(display_name="table", tooltip="All scores as Markdown."),
        io.Image.Output(display_name="charts", tooltip="One bar chart per picture."),
        io.Image.Output(
            display_name="heat_maps",
            tooltip="One sheet per picture: where the leading styles explain it.",
        ),
        io.String.Output(
            display_name="verdict",
            tooltip="One line per picture: a style's name, 'none of these' or 'undecided'; "
            "with a null pool also what cannot be told.",
        ),
    ]


def answer(attribution):
    """The same, and what the panel shows."""
    from ..guda import report
    from ..guda.report import side_by_side, wording

    numbers = range(len(attribution.images))
    return io.NodeOutput(
        attribution,
        report.to_markdown(attribution),
        to_batch([report.bars(attribution, i) for i in numbers]),
        to_batch([side_by_side.sheet(attribution, i) for i in numbers]),
        "\n".join(wording.plain(i.verdict) for i in attribution.images),
        ui={"guda": [payload(attribution)]},
    )


def asked_for(counterfactuals, groups, styles):
    """What the pictures are held against, from the one input that says it.

    Raises CounterfactualError where none or several do, GroupsError on bad styles.
    """
    from ..guda.counterfactuals.direct import DirectCounterfactuals
    from ..guda.groups import parse_styles

    written = (styles or "").strip()
    given = {"counterfactuals": counterfactuals, "groups": groups, "styles": written}
    used = [name for name, value in given.items() if value]
    if not used:
        raise CounterfactualError(
            "There are no styles to ask for; link counterfactuals or groups, or write one style "
            "per line into styles."
        )
    if len(used) > 1:
        raise CounterfactualError(
            f"Both {' and '.join(used)} say which styles to ask for; use one of them, and a second "
            "Attribute to Styles for the other."
        )
    if counterfactuals is not None:
        return counterfactuals
    if groups is not None:
        return DirectCounterfactuals.of(groups)
    return DirectCounterfactuals.named(parse_styles(written))
