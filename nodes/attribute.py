"""Scores: how much worse would the model fit a picture had it never learned a style?"""

from __future__ import annotations

from comfy_api.latest import io

from ..guda.config import ElboConfig
from ..guda.errors import CounterfactualError, ImageError
from . import settings
from .convert import from_batch, lines, to_batch
from .payload import payload
from .progress import Scoring
from .runtime import normal_mode, on_device, plan, run
from .types import CATEGORY, AttributionType, Counterfactuals, Groups, Null, model_input


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
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="One picture or a batch. Each is cut to a centred square of the "
                    "model's size. Not needed where latents are linked.",
                ),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=False,
                    default="",
                    placeholder="what the picture shows",
                    tooltip="The prompt of the picture, or a description: one line for all "
                    "pictures, or one line per picture. It may be empty.",
                ),
                *settings.inputs(ElboConfig),
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
                io.String.Input(
                    "styles",
                    optional=True,
                    multiline=True,
                    dynamic_prompts=False,
                    default="",
                    placeholder="Van Gogh: van gogh\nHokusai: hokusai",
                    tooltip="In place of counterfactuals and groups: one style per line, as "
                    "'Name: phrase', or just the phrase that prompts use. The model itself answers "
                    "for them at once.",
                ),
                io.Boolean.Input(
                    "one_source",
                    default=False,
                    optional=True,
                    tooltip="The pictures are of one source, such as a workflow or an artist: also "
                    "says what they lean on together, from 10 pictures on. Many pictures tell more "
                    "than one.",
                ),
                Null.Input(
                    "null_pool",
                    optional=True,
                    tooltip="From Null Pool, asked with the same settings: a style is then named "
                    "only where the picture stands out further than all but a few that have "
                    "nothing to do with the styles. The pool in the counterfactuals' folder is "
                    "found by itself.",
                ),
                io.Boolean.Input(
                    "credit",
                    default=False,
                    optional=True,
                    tooltip="A column of credit in the table and the report, which adds up to at "
                    "most 1 a picture and leaves the rest to none of these. No share of money.",
                ),
            ],
            outputs=[
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
            ],
            is_output_node=True,
        )

    @classmethod
    @normal_mode
    def execute(cls, model, image=None, prompt="", latent=None, **values):
        from ..guda import report
        from ..guda.jobs.against import of_set
        from ..guda.jobs.attribute import AttributeRequest, survey
        from ..guda.report import heatmap, wording

        without = asked_for(*(values.get(n) for n in ("counterfactuals", "groups", "styles")))
        pictures, latents = asked(model, image, latent)
        names = [f"picture {i + 1}" for i in range(len(pictures if latents is None else latents))]
        config = settings.read(ElboConfig, values)
        pool, file = values.get("null_pool"), ""
        if pool is None:
            pool, file = of_set(without, model, config)
        request = AttributeRequest(
            model, without, pictures, names, lines(prompt), config, latents, pool, file,
            one_source=bool(values.get("one_source")), credit=bool(values.get("credit")),
        )  # fmt: skip
        with on_device(model):
            work = survey(request)
            note = plan(work.price())
            attribution = run(work.run(), Scoring(without.names, len(names)), note)
        numbers = range(len(attribution.images))
        charts = to_batch([report.bars(attribution, i) for i in numbers])
        sheets = to_batch([heatmap.sheet(attribution, i) for i in numbers])
        verdicts = "\n".join(wording.plain(i.verdict) for i in attribution.images)
        return io.NodeOutput(
            attribution,
            report.to_markdown(attribution),
            charts,
            sheets,
            verdicts,
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


def asked(model, image, latent):
    """Pictures and scaled latents (None without) of what is to be scored. Raises ImageError."""
    if image is None and latent is None:
        raise ImageError("Nothing is linked to image or latent; link a picture or latents to one.")
    pictures = [] if image is None else from_batch(image)
    return pictures, None if latent is None else model.scale_latents(latent["samples"].clone())
