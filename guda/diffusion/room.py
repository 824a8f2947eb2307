"""Memory of the device: how much is free, and what to do when it runs out.

Nothing here changes a result: fewer pictures go through the UNet at a time, and their gradients or
terms add up to the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import psutil
import torch

from ..errors import OutOfMemoryError, first_line

T = TypeVar("T")

MARGIN = 0.9  # of the free memory is planned with; allocators leave gaps
_WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "alloc_failed",  # cuBLAS and cuDNN
    "invalid buffer size",  # Metal
    "not enough gpu video memory",  # DirectML
    "out_of_device_memory",  # level zero
    "out_of_resources",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether any of the devices says that its memory is full."""
    known = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)
    if isinstance(error, known):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _WORDS)


def free_bytes(device: torch.device) -> int | None:
    """Bytes that can still be had on `device`; None where nobody can say."""
    main = psutil.virtual_memory().available
    if device.type == "cpu":
        return main
    module: Any = getattr(torch, device.type, None)
    try:
        if device.type == "mps":  # its memory is the main memory
            return min(main, module.recommended_max_memory() - module.driver_allocated_memory())
        free, _ = module.mem_get_info(device)
        return free + module.memory_reserved(device) - module.memory_allocated(device)
    except (AttributeError, AssertionError, RuntimeError):  # DirectML, old drivers, old versions
        return None


def release(device: torch.device) -> None:
    """Give the allocator's unused blocks back, so that they can be had in other sizes."""
    module = getattr(torch, device.type, None)
    if device.type != "cpu" and hasattr(module, "empty_cache"):
        module.empty_cache()  # type: ignore[union-attr]


class Room:
    """How many pictures go through the UNet at once: `rows`, halved whenever memory runs out.

    recompute: whether a backward pass computes activations again; may_recompute: whether it still
    may begin to, when there is no memory for a single picture.
    """

    def __init__(
        self,
        rows: int,
        device: torch.device,
        *,
        recompute: bool = False,
        may_recompute: bool = False,
    ):
        self.rows, self._device = max(1, rows), device
        self.recompute, self._may_recompute = recompute, may_recompute

    def begin_to_recompute(self) -> bool:
        """From now on, if it is allowed and not so already; returns whether it is new."""
        new = self._may_recompute and not self.recompute
        self.recompute = self.recompute or new
        return new

    def attempt(
        self,
        work: Callable[[int], T],
        most: int | None = None,
        undo: Callable[[], object] | None = None,
    ) -> T:
        """work(rows), after an out-of-memory again with half the rows, until it succeeds.

        most: how many rows there are, where that may be less than `rows`. undo: takes back what
        an attempt that failed half way had done. Raises OutOfMemoryError when there is no memory
        for a single picture.
        """
        while True:
            try:
                return work(self.rows)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                reason = first_line(error)
            # Only here, after the handler, are the frames gone that hold the attempt's tensors.
            if undo is not None:
                undo()
            release(self._device)
            rows = min(self.rows, most or self.rows)
            if rows == 1:
                raise OutOfMemoryError(
                    f"The memory of {self._device} is full even with one picture at a time "
                    f"({reason}). Close what else uses it, load the model with "
                    "precision float16 or bfloat16, set checkpointing to on, choose fewer modules "
                    "or a lower rank, or run on the CPU."
                )
            self.rows = rows // 2

    def over(self, count: int, work: Callable[[slice], T]) -> Iterator[T]:
        """What `work` returns for slices of at most `rows` that cover 0 ... count, in order."""
        start = 0
        while start < count:

            def part(rows: int, start: int = start) -> tuple[int, T]:
                stop = min(start + rows, count)
                return stop, work(slice(start, stop))

            start, found = self.attempt(part, count - start)
            yield found
