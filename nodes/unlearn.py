"""Counterfactuals: one LoRA per style, made here or loaded from disk."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..guda.config import MemoryConfig, UnlearnConfig
from ..guda.errors import ConfigError
from . import after, changes, cluster, places, settings
from .convert import to_batch
from .progress import Unlearning
from .runtime import TRAINING, Written, normal_mode, on_device, plan, problem, run, warning
from .sheets import style_sheets
from .types import CATEGORY, AttributionType, Counterfactuals, aliases, groups_input, model_input

LORAS = Written()
LINKS = ("model", "groups", "attribution")
LAST = ("stop", "goal", "anchors", "lr_probe", "unlearn_resolution")
"""Settings that came after the widgets that are not settings."""
LATER = ("start",)
"""Those that came after these widgets' next ones."""


def _counterfactuals_output():
    return Counterfactuals.Output(
        display_name="counterfactuals", tooltip="One LoRA per style, for Attribute to Styles."
    )


class GudaUnlearn(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaUnlearn",
            display_name="Unlearn Styles",
            category=CATEGORY,
            description="For every style, trains a small LoRA with which the model behaves as if "
            "it had never learned the style. Kept in models/loras/guda; finished LoRAs are reused, "
            "and an interrupted run continues.",
            inputs=[
                model_input(),
                groups_input(),
                io.String.Input(
                    "set_name",
                    default="my-styles",
                    tooltip="Folder under models/loras/guda in which the LoRAs are kept. Give "
                    "every model and every selection of styles its own.",
                ),
                *settings.inputs(UnlearnConfig, MemoryConfig, but=(*LAST, *LATER), shown=False),
                AttributionType.Input(
                    "attribution",
                    optional=True,
                    tooltip="From an Attribute to Styles that was answered directly, without "
                    "counterfactuals: the styles that lead it are unlearned, as many as screen "
                    "says.",
                ),
                settings.advanced(
                    io.Int.Input(
                        "screen",
                        optional=True,
                        default=0,
                        min=0,
                        max=1000,
                        tooltip="How many of the styles that lead the linked attribution are "
                        "unlearned; the others are only kept. 0: all styles.",
                    )
                ),
                *settings.inputs(UnlearnConfig, only=LAST, shown=False),
                after.sheet_input(),
                cluster.cluster_input(),
                *settings.inputs(UnlearnConfig, only=LATER, shown=False),
                after.recovery_input(),
            ],
            outputs=[
                _counterfactuals_output(),
                io.Image.Output(
                    display_name="losses", tooltip="The loss of every style against the step."
                ),
                io.String.Output(
                    display_name="gate",
                    tooltip="One line per style: did it pass its gate, that is, was it forgotten "
                    "more than the other styles on held-out pictures?",
                ),
                io.Image.Output(
                    display_name="sheets",
                    tooltip="What the model draws when it is asked for the style, with it and "
                    "without it; one picture per style.",
                ),
            ],
            is_output_node=True,
            **aliases(
                "forget style",
                "erase concept",
                "machine unlearning",
                "counterfactual",
                "train lora",
            ),
        )

    @classmethod
    def validate_inputs(cls, set_name):
        return problem(lambda: set_name is None or places.new_set_folder(set_name))

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        return LORAS.fingerprint(_constants(inputs))

    @classmethod
    @normal_mode
    def execute(cls, model, groups, set_name, **values):
        from ..guda.jobs import sheet
        from ..guda.jobs.unlearn import UnlearnRequest, survey
        from ..guda.report import loss_curve
        from ..guda.unlearning.recipe import recommended

        config = settings.read(UnlearnConfig, values, recommended(model))
        folder, memory = places.new_set_folder(set_name), settings.read(MemoryConfig, values)
        names = screened(groups, values.get("attribution"), values.get("screen") or 0)
        request = UnlearnRequest(model, groups, folder, config, names, memory=memory)
        more, there = after.read(values), cluster.chosen(values.get("cluster"), model)
        watch = Unlearning(names or groups.names, config.total_steps, config.checkpoint_every)
        with on_device(model, TRAINING):
            work = survey(request)
            note = plan(more.priced(work))
            if there is None:
                made = run(more.whole(work), watch, note)
            else:
                making = run(work.drawn(), watch, note)
        if there is not None:
            made = cluster.unlearned(making, there, note)
            if more.asked:
                with on_device(model, TRAINING):
                    made = run(more.of(work, made), watch, note)
        shown = sheet.of_set(made)
        files = [made.folder / places.MANIFEST, *map(made.path, made.entries), *shown.values()]
        LORAS.note(_constants({"set_name": set_name, **values}), files)
        curves = to_batch([loss_curve({e.name: e.losses for e in made.entries}, size=(1024, 640))])
        return io.NodeOutput(
            made,
            curves,
            gate_summary(made),
            style_sheets(shown.values()),
            ui=ui.PreviewImage(curves, cls=cls),
        )


class GudaLoadCounterfactuals(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GudaLoadCounterfactuals",
            display_name="Load Counterfactuals",
            category=CATEGORY,
            description="Loads a finished set of counterfactual LoRAs from models/loras/guda.",
            inputs=[
                io.Combo.Input(
                    "set_name",
                    options=places.set_names(),
                    tooltip="A folder under models/loras/guda. Press R to refresh the list.",
                ),
                io.String.Input(
                    "styles",
                    multiline=True,
                    dynamic_prompts=False,
                    default="",
                    placeholder="all styles of the set",
                    tooltip="Only these styles, one per line or with commas between; empty for "
                    "all. Use it to leave a style out that failed its gate.",
                    optional=True,
                ),
            ],
            outputs=[_counterfactuals_output()],
            **aliases("counterfactual", "unlearned styles", "lora set"),
        )

    @classmethod
    def validate_inputs(cls, set_name):
        return problem(lambda: set_name is None or places.set_folder(set_name))

    @classmethod
    def fingerprint_inputs(cls, set_name, styles=""):
        return changes.seen(places.set_folder(set_name)) if set_name else ""

    @classmethod
    def execute(cls, set_name, styles=""):
        from ..guda.counterfactuals import load_set
        from ..guda.groups.captions import parse_contents

        found = load_set(places.set_folder(set_name))
        chosen = parse_contents(styles)
        return io.NodeOutput(found.subset(chosen) if chosen else found)


def screened(groups, attribution, most: int) -> tuple[str, ...] | None:
    """The styles to unlearn, None for all. Raises ConfigError on what does not go together."""
    from ..guda.jobs.screen import leading

    if not most:
        return None
    if attribution is None:
        raise ConfigError(
            f"screen is {most}, but no attribution is linked that says which styles lead; link one "
            "from Attribute to Styles, answered by groups or styles, or set screen to 0."
        )
    if strange := [name for name in attribution.groups if name not in groups.names]:
        raise ConfigError(
            f"The attribution has the style {strange[0]!r}, which is not among the groups: "
            f"{', '.join(groups.names)}. Link the same groups to both."
        )
    names = leading(attribution)[:most]
    return tuple(name for name in groups.names if name in names)


def gate_summary(made) -> str:
    """One line per style, one on the learning rate where it was found, then one per warning."""
    from ..guda.report.wording import plain

    lines = [
        f"{plain(e.name)}: {'passed' if e.passed else 'FAILED'}, {e.standing}" for e in made.entries
    ]
    rate = [made.rate] if made.rate else []
    return "\n".join([*lines, *rate, *map(warning, made.warnings)])


def _constants(inputs: dict) -> dict:
    """Without the links, which a fingerprint cannot see."""
    return {k: v for k, v in inputs.items() if k not in LINKS}
