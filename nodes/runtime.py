"""How the nodes run long work inside ComfyUI: progress, cancelling, memory, inference mode."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import comfy.model_management as mm
import torch
from comfy.utils import ProgressBar
from comfy_execution.utils import get_executing_context

from ..guda.budget.pace import Clock, Throttle, time_left
from ..guda.errors import GudaError
from ..guda.escape import for_page, visible
from ..guda.settings import digest
from ..guda.steps import Step, Steps, drain
from .changes import stamps
from .progress import Planning, Watch

if TYPE_CHECKING:
    from ..guda.jobs.plan import Plan

T = TypeVar("T")

TRAINING = 1e30  # bytes to free before training: everything else goes, as in ComfyUI's own trainer
PREVIEW_SIZE = 512  # pixels

# ComfyUI runs nodes in inference mode, in which nothing can be trained: neither a model loaded
# there nor a tensor made there can take part in a backward pass. Every `execute` leaves it.
normal_mode = torch.inference_mode(False)


def run(steps: Steps[T], watch: Watch | None = None, note: str = "") -> T:
    """Drain `steps`, showing each in ComfyUI; stops at once when the user cancels.

    note: what is shown below every step, such as the plan. However it ends, the generator is
    closed, so that no LoRA stays on the UNet. A run that ends early says what of it is kept.
    """
    show = _Display(watch or Watch(), note)
    try:
        result = drain(steps, show)
    except BaseException as error:  # newer ComfyUIs do not count a cancelled run as an Exception
        show.stopped(failed=not isinstance(error, mm.InterruptProcessingException))
        raise
    show.end()
    return result


class _Display:
    def __init__(self, watch: Watch, note: str = ""):
        self._watch, self._bar, self._note = watch, ProgressBar(1), note
        self._text, self._preview, self._clock = Throttle(0.2), Throttle(1.0), Clock()
        self._left: float | None = None
        self._begun = False
        self._started = time.monotonic()

    def __call__(self, step: Step) -> None:
        if step.warning:
            self._warn(step.warning)
            return
        place, self._begun = self._watch.place(step), True
        mm.throw_exception_if_processing_interrupted()
        if place is not None:
            with self._preview as due:
                picture = self._watch.picture() if due else None
            preview = ("JPEG", picture, PREVIEW_SIZE) if picture is not None else None
            if step.stage == "unlearn" and step.loss is None:
                self._clock.restart()
            elif not self._watch.tells_time:
                self._left = self._clock(*place)
            self._bar.update_absolute(*place, preview)  # type: ignore[arg-type]
        with self._text as due:
            if due or step.done == step.total:
                words = self._watch.words(step) + time_left(self._left)
                send_text(f"{words}\n{self._note}".rstrip())

    def _warn(self, text: str) -> None:
        """In ComfyUI's log, as a message on the page, and under the node until it runs again."""
        if (line := warning(text)) not in self._note.splitlines():
            logging.warning("GUDA: %s", visible(text, keep=""))
            send_event("guda.warning", {"text": text})
            self._note = f"{line}\n{self._note}".rstrip()

    def end(self) -> None:
        done = f"Done in {time.monotonic() - self._started:.0f} s"
        send_text(f"{done}\n{self._note}".rstrip())

    def stopped(self, failed: bool) -> None:
        if not self._begun:
            return  # refused at once: the error says it all
        title, kept = "Failed" if failed else "Stopped", self._watch.kept()
        doubts = [line for line in self._note.splitlines() if line.startswith(warning(""))]
        send_text("\n".join([f"{title}. {kept}", *doubts]))
        send_event("guda.stopped", {"title": title, "text": kept, "failed": failed})


def warning(text: str) -> str:
    """As it stands under a node."""
    return f"Warning: {visible(text, keep='')}"


def send_text(text: str) -> None:
    """Shows `text` under the node that runs. The page takes it for HTML, so it is escaped here."""
    from server import PromptServer

    context, server = get_executing_context(), getattr(PromptServer, "instance", None)
    if context is not None and server is not None:
        server.send_progress_text(for_page(text), context.node_id)


def send_event(name: str, data: dict[str, str | bool]) -> None:
    """Tells the page that queued the prompt something about the node that runs.

    Texts in `data` are escaped as in `send_text`; web/panel/dom.js turns them back.
    """
    from server import PromptServer

    context, server = get_executing_context(), getattr(PromptServer, "instance", None)
    if context is not None and server is not None:
        safe = {key: for_page(v) if isinstance(v, str) else v for key, v in data.items()}
        server.send_sync(name, {"node": context.node_id, **safe}, server.client_id)


def plan(steps: Steps[Plan]) -> str:
    """Measure what a job will take, and say so before it begins."""
    show = _Display(Planning())
    planned = drain(steps, show)
    text = "\n".join([f"Planned: {planned}", *map(warning, planned.warnings)])
    send_text(text)
    return text


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
