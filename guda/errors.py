"""What can go wrong: each message names the input, its value and the remedy."""

from __future__ import annotations

from .escape import visible


class GudaError(Exception):
    """Base of every error that is the input's fault rather than the program's.

    The message is one line, and names in it that would do something to a terminal are spelled out.
    """

    def __init__(self, message: object = ""):
        super().__init__(visible(str(message), keep=""))


class ConfigError(GudaError):
    """A setting is out of range or contradicts another."""


class GroupsError(GudaError):
    """Style groups that cannot be read or do not make a comparison."""


class ImageError(GudaError):
    """A picture that cannot be used."""


class ModelError(GudaError):
    """A base model that cannot be loaded."""


class TextEncoderError(ModelError):
    """A model without the text encoder of its family."""


class CounterfactualError(GudaError):
    """A counterfactual LoRA or set that is damaged, foreign or refused by its gate."""


class DamagedError(GudaError):
    """A file does not hold what was written; the message is the reason alone, for the caller's."""


class DivergedError(GudaError):
    """Unlearning produced a loss that is not finite."""


class OutOfMemoryError(GudaError):
    """Not even one picture fits in the memory of the device."""


class SaveError(GudaError):
    """A file could not be written."""


class EvidenceError(GudaError):
    """A file that is no evidence bundle, or one that cannot be made or signed."""


class BusyError(SaveError):
    """Another run works in the folder, and waiting for it would have no end."""


class ClusterError(GudaError):
    """A cluster that cannot be reached, is gone, or has no worker for the job."""


def first_line(error: BaseException) -> str:
    """Of its message, without the full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def one_line(text: str, most: int = 1000) -> str:
    """A message as one line: breaks and control characters spelled out, its middle cut if long."""
    text = visible(text, keep="")
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"
