"""What every node that attributes shares: the question that its inputs ask, and its answer."""

from __future__ import annotations

from comfy_api.latest import io

from ..guda.config import ElboConfig
from ..guda.errors import CounterfactualError
from . import cluster, places, settings
from .convert import to_batch
from .lists import asked, prompts_of
from .payload import payload
from .presets import chosen
from .progress import Scoring
from .runtime import plan, run, warning
from .types import AttributionType, Groups


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
    shown = Scoring(request.counterfactuals.names, len(request.names), direct=not work.loras)
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
    return settings.flag(
        "one_source",
        False,
        "The pictures are of one source, such as a workflow or an artist: also "
        "says what they lean on together, from 10 pictures on. Many pictures tell more "
        "than one.",
    )


def credit_input():
    return settings.flag(
        "credit",
        False,
        "A column of credit in the table and the report, which adds up to at most 1 a "
        "picture and leaves the rest to none of these. No share of money.",
    )


def groups_and_resolution():
    """Inputs of every node that asks the graph's own model."""
    return [
        Groups.Input(
            "groups",
            optional=True,
            tooltip="In place of styles: style groups, asked for by their phrases.",
        ),
        settings.advanced(
            io.Int.Input(
                "resolution",
                default=0,
                min=0,
                max=4096,
                step=16,
                control_after_generate=False,
                tooltip="Side of the pictures in pixels; 0 for what suits the kind of "
                "model: 512 for Stable Diffusion 1.x, 1024 for most others.",
                optional=True,
            )
        ),
    ]


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
