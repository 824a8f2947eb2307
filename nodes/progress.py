"""What a long run says while it goes on, and what of it is kept when it ends early."""

from __future__ import annotations

from PIL import Image

from ..guda.steps import Step

VERBS = {
    "pictures": "Drawing pictures",
    "encode": "Reading pictures",
    "check": "Checking the model",
    "look": "Looking at held-out pictures",
    "start": "Leading the style's words elsewhere",
    "rate": "Trying learning rates",
    "stop": "Done with",
    "styles": "Asking for the styles",
    "unlearn": "Unlearning",
    "gate": "Checking",
    "recover": "Measuring the recovery",
    "collapse": "Drawing in the kept styles, without",
    "sheet": "Drawing the sheet",
    "score": "Scoring",
    "plan": "Measuring",
    "null": "Scoring null pictures",
    "hash": "Hashing files",
}
AFTER = ("recover", "sheet")
"""Stages that come when every style is unlearned."""


class Watch:
    """Where a run stands, for its progress bar; a stage's own count unless a node knows better."""

    tells_time = False
    """Whether the steps themselves say how much time is left."""

    def place(self, step: Step) -> tuple[int, int] | None:
        """(value, total); None leaves the bar where it is."""
        return step.done, step.total

    def picture(self) -> Image.Image | None:
        """A preview of the state, when there is something to see."""
        return None

    def words(self, step: Step) -> str:
        """Where the run stands, without the time left."""
        return describe(step)

    def kept(self) -> str:
        """What lasts of a run that ends now."""
        return "Nothing of this step is kept; queue again to run it."


def describe(step: Step) -> str:
    """For example "Drawing pictures of Twemoji, 12 of 60"."""
    if step.stage == "wait":
        return f"Waiting {step.group}"
    text = VERBS.get(step.stage, step.stage) + (f" of {step.group}" if step.group else "")
    text += f", {step.done} of {step.total}" if step.total else ""
    return text if step.loss is None else f"{text}, loss {step.loss:.3g}"


class Unlearning(Watch):
    """One bar over all styles, and the losses so far as a picture."""

    def __init__(self, names: tuple[str, ...], steps: int, every: int):
        self._names, self._steps, self._every = names, steps, every
        self._losses: dict[str, list[tuple[int, float, float]]] = {}
        self._finished: list[str] = []
        self._now: Step | None = None

    def place(self, step: Step) -> tuple[int, int] | None:
        if step.stage == "unlearn":
            self._now = step
            if step.forget is not None and step.preserve is not None:
                point = (step.done - 1, step.forget, step.preserve)
                self._losses.setdefault(step.group, []).append(point)
            else:  # made before
                self._finished.append(step.group)
        elif step.stage == "gate" and step.done == step.total:
            self._finished.append(step.group)
        elif step.stage in AFTER:
            self._finished = list(self._names)
        if step.stage not in ("unlearn", "recover"):
            return None
        each = self._steps if step.stage == "unlearn" else step.total
        return self._names.index(step.group) * each + step.done, len(self._names) * each

    def picture(self) -> Image.Image | None:
        from ..guda.report import loss_curve

        return loss_curve(self._losses, steps=self._steps) if self._losses else None

    def words(self, step: Step) -> str:
        if step.group not in self._names or step.stage not in ("unlearn", "gate"):
            return describe(step)
        text = f"Style {self._names.index(step.group) + 1} of {len(self._names)}, {step.group}: "
        if step.stage == "gate":
            return text + "checking that it was forgotten"
        if step.loss is None:
            return text + "made before"
        told = f"step {step.done} of {step.total}, loss {step.loss:.3g}"
        return text + (f"{told}, {step.note}" if step.note else told)

    def kept(self) -> str:
        parts = []
        if self._finished:
            count = f"{len(self._finished)} of {len(self._names)} styles"
            parts.append(f"{count} ({', '.join(self._finished)})")
        now = self._now
        if now is not None and now.group not in self._finished:
            last = now.done if now.done == self._steps else now.done // self._every * self._every
            if last:
                parts.append(f"{now.group} up to step {last} of {self._steps}")
        if not parts:
            return "No style was finished yet; queue again to start over."
        return f"Kept: {', and '.join(parts)}. Queue again to go on from there."


class Scoring(Watch):
    """Styles that are scored, one after the other, after the full model."""

    def __init__(self, names: tuple[str, ...], pictures: int, direct: bool):
        """direct: whether the model itself answers, without LoRAs."""
        self._names, self._pictures, self._direct = names, pictures, direct

    def words(self, step: Step) -> str:
        if step.stage != "score":
            return describe(Step(step.stage, self._pictures, 0))
        if step.group not in self._names:
            return f"Scoring: the {step.group}, {step.done} of {step.total}"
        number = self._names.index(step.group) + 1
        style = f"style {number} of {len(self._names)}, {step.group}"
        return f"Scoring: {style}, {step.done} of {step.total}"

    def kept(self) -> str:
        if self._direct:
            return super().kept()
        return "Kept: every style's LoRA, but no scores. Queue again to score anew."


class Drawing(Watch):
    """Pictures that are drawn, batch by batch."""

    def __init__(self, lasting: bool):
        self._lasting, self._now = lasting, Step("pictures", 0, 0)

    def place(self, step: Step) -> tuple[int, int] | None:
        self._now = step
        return step.done, step.total

    def kept(self) -> str:
        if not self._lasting:
            return super().kept()
        return (
            "Kept: every picture that was finished, in user/guda/pictures. Queue again to draw "
            "the rest."
        )


class Pooling(Watch):
    """One bar over all null pictures, whatever is done with them in between."""

    def __init__(self) -> None:
        self._now: tuple[int, int] | None = None

    def place(self, step: Step) -> tuple[int, int] | None:
        if step.stage == "null":
            self._now = step.done, step.total
        return self._now

    def words(self, step: Step) -> str:
        if self._now is None or step.stage in ("null", "wait"):
            return describe(step)
        return describe(Step("null", *self._now))

    def kept(self) -> str:
        return "Kept: every null picture that was scored. Queue again to go on from there."


class Together(Watch):
    """One bar over all units that the workers of a cluster do."""

    tells_time = True

    def __init__(self, kept: str = ""):
        """kept: what else lasts, beside the finished units."""
        self._kept, self._units = kept, ""

    def place(self, step: Step) -> tuple[int, int] | None:
        return (step.done, step.total) if step.stage in ("unlearn", "score") else None

    def words(self, step: Step) -> str:
        if step.stage not in ("unlearn", "score"):
            return describe(step)
        self._units = step.group
        text = f"{VERBS[step.stage]} on the cluster, {step.done} of {step.total} {step.group}"
        return ", ".join(filter(None, (text.rstrip(), step.note)))

    def kept(self) -> str:
        parts = [f"what the cluster has finished {self._units}".rstrip(), self._kept]
        return f"Kept: {', '.join(filter(None, parts))}. Queue again to go on from there."


class Planning(Watch):
    """A job that is measured before it begins; the bar is the job's."""

    def place(self, step: Step) -> tuple[int, int] | None:
        return None

    def kept(self) -> str:
        return "Nothing had begun yet; queue again to run it."
