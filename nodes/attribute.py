"""Scores: how much worse would the model fit a picture had it never learned a style?"""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ..guda.config import ElboConfig
from ..guda.errors import CounterfactualError
from . import cluster, settings
from .lists import singled
from .presets import preset_input
from .question import (
    answer,
    answered,
    asked_for,
    credit_input,
    one_source_input,
    outputs,
    priced,
    question,
)
from .runtime import normal_mode, on_device
from .types import (
    CATEGORY,
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
        from . import conditioning

        (model,), given = model, singled(values)
        without = asked_for(*(given.get(n) for n in ("counterfactuals", "groups", "styles")))
        request, said = question(model, without, given, by_line=True)
        there = cluster.chosen(given.get("cluster"), model)
        with on_device(model):
            count = len(request.names)
            positive = conditioning.of_backbone(model, given.get("positive", []), count)
            request = replace(request, conditions=positive)
            request, more = with_pool(request, given.get("null_pool"))
            said = (*said, *more)
            if there is None:
                return answered(request, said)
            work, note = priced(request, said, there)
        return answer(cluster.attributed(work, there, note))


def with_pool(request, linked):
    """The question with the null pool that is linked, or else with that of the counterfactuals'
    folder; and what is to be said of the latter where the pictures are asked as none of it is."""
    from ..guda.jobs.against import check_question, of_set

    if linked is not None:
        return replace(request, null=linked), ()
    pool, file = of_set(request.counterfactuals, request.backbone, request.config)
    if pool is not None:
        try:
            check_question(request, request.prompts)
        except CounterfactualError as error:
            return request, (f"The null pool in the counterfactuals' folder is left out. {error}",)
    return replace(request, null=pool, null_file=file), ()
