"""How the nodes run long work inside ComfyUI: progress, cancelling, memory, inference mode."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import comfy.model_management as mm
import torch
from comfy.utils import ProgressBar
from comfy_execution.utils import get_executing_context
from PIL import Image

from ..guda.config import digest
from ..guda.errors import GudaError
from ..guda.steps import Step, Steps, drain
from .places import stamps

if TYPE_CHECKING:
    from ..guda.planner import Plan

T = TypeVar("T")

TRAINING = 1e30  # bytes to free before training: everything else goes, as in ComfyUI's own trainer
PREVIEW_SIZE = 512  # pixels
VERBS = {
    "pictures": "Drawing pictures",
    "encode": "Reading pictures",
    "unlearn": "Unlearning",
    "gate": "Checking",
    "score": "Scoring",
    "plan": "Measuring",
}

# ComfyUI runs nodes in inference mode, in which nothing can be trained: neither a model loaded
# there nor a tensor made there can take part in a backward pass. Every `execute` leaves it.
normal_mode = torch.inference_mode(False)


class Watch:
    """Where a run stands, for its progress bar; a stage's own count unless a node knows better."""

    def place(self, step: Step) -> tuple[int, int] | None:
        """(value, total); None leaves the bar where it is."""
        return step.done, step.total

    def picture(self) -> Image.Image | None:
        """A preview of the state, when there is something to see."""
        return None


def run(steps: Steps[T], watch: Watch | None = None, note: str = "") -> T:
    """Drain `steps`, showing each in ComfyUI; stops at once when the user cancels.

    note: what is shown below every step, such as the plan. However it ends, the generator is
    closed, so that no LoRA stays on the UNet.
    """
    show = _Display(watch or Watch(), note)
    result = drain(steps, show)
    show.end()
    return result


class _Display:
    def __init__(self, watch: Watch, note: str = ""):
        self._watch, self._bar, self._note = watch, ProgressBar(1), note
        self._text, self._preview = _Throttle(0.2), _Throttle(1.0)
        self._started = time.monotonic()

    def __call__(self, step: Step) -> None:
        mm.throw_exception_if_processing_interrupted()
        place = self._watch.place(step)
        if place is not None:
            with self._preview as due:
                picture = self._watch.picture() if due else None
            preview = ("JPEG", picture, PREVIEW_SIZE) if picture is not None else None
            self._bar.update_absolute(*place, preview)  # type: ignore[arg-type]
        with self._text as due:
            if due or step.done == step.total:
                send_text(f"{describe(step)}\n{self._note}".rstrip())

    def end(self) -> None:
        done = f"Done in {time.monotonic() - self._started:.0f} s"
        send_text(f"{done}\n{self._note}".rstrip())


class _Throttle:
    """`with throttle as due:` is due once per `interval`, more rarely where the work is slow."""

    def __init__(self, interval: float):
        self._interval, self._next = interval, 0.0

    def __enter__(self) -> bool:
        self._entered = time.monotonic()
        self._due = self._entered >= self._next
        return self._due

    def __exit__(self, *_: object) -> None:
        if self._due:
            now = time.monotonic()
            self._next = now + max(self._interval, 20 * (now - self._entered))


def describe(step: Step) -> str:
    """For example "Unlearning Twemoji 12/60, loss 0.0123"."""
    text = f"{VERBS.get(step.stage, step.stage)} {step.group}".rstrip()
    text += f" {step.done}/{step.total}"
    return text if step.loss is None else f"{text}, loss {step.loss:.3g}"


def send_text(text: str) -> None:
    """Shows `text` under the node that runs."""
    from server import PromptServer

    context, server = get_executing_context(), getattr(PromptServer, "instance", None)
    if context is not None and server is not None:
        server.send_progress_text(text, context.node_id)


def plan(steps: Steps[Plan]) -> str:
    """Measure what a job will take, and say so before it begins."""
    text = f"Planned: {drain(steps, _Display(_Planning()))}"
    send_text(text)
    return text


class _Planning(Watch):
    def place(self, step: Step) -> None:
        return None  # the bar is the job's


def offload_device() -> torch.device:
    return mm.unet_offload_device()


def compute_device() -> torch.device:
    return mm.get_torch_device()


@contextmanager
def on_device(backbone, extra: float | None = None) -> Iterator[None]:
    """Inside, the model works on ComfyUI's device, with `extra` bytes (default: its size) to spare.

    Its text encoder and VAE are there only while they work. Afterwards, however it ends, all of it
    is where it was and the device's memory is ComfyUI's again.
    """
    device = mm.get_torch_device()
    mm.free_memory(backbone.nbytes + (backbone.nbytes if extra is None else extra), device)
    try:
        backbone.move(device, rest=mm.unet_offload_device())
        yield
    finally:
        backbone.move(mm.unet_offload_device())
        mm.soft_empty_cache()


class Written:
    """Lets a node run again when files that it wrote were changed or deleted since.

    ComfyUI reuses a node's results as long as its inputs stay the same, and knows nothing of files.
    """

    def __init__(self) -> None:
        self._seen: dict[str, list] = {}
        self._counts: dict[str, int] = {}

    def note(self, inputs: dict[str, Any], files: Iterable[Path]) -> None:
        """The node with these constant inputs has just written `files`."""
        self._seen[digest(inputs)] = stamps(files)

    def fingerprint(self, inputs: dict[str, Any]) -> int:
        """For `fingerprint_inputs`: the same number for as long as the files are as noted."""
        key = digest(inputs)
        seen = self._seen.get(key, [])
        if stamps(entry[0] for entry in seen) != seen:
            del self._seen[key]
            self._counts[key] = self._counts.get(key, 0) + 1
        return self._counts.get(key, 0)


def problem(check: Callable[[], object]) -> bool | str:
    """For `validate_inputs`: what `check` objects to, so that it shows before anything runs."""
    try:
        check()
    except GudaError as error:
        return str(error)
    return True
