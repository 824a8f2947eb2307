"""Nodes that take lists: pictures of several shapes, one prompt or conditioning per picture."""

from __future__ import annotations

import torch

from ..guda.errors import ConfigError, ImageError
from .convert import from_batch

LISTS = ("image", "latent", "prompt", "positive")


def singled(values: dict) -> dict:
    """Of the inputs, which all come as lists, the one value of each that is none. ConfigError."""
    given = {n: v for n, v in values.items() if n in LISTS and v is not None}
    for name, value in values.items():
        if name in LISTS or value is None:
            continue
        if len(value) != 1:
            raise ConfigError(
                f"{name} was given {len(value)} times; only {', '.join(LISTS)} may be lists."
            )
        given[name] = value[0]
    return given


def asked(model, images, latents):
    """Pictures and scaled latents (None without) of what is to be scored. Raises ImageError."""
    images, latents = ([v for v in values if v is not None] for values in (images, latents))
    if not images and not latents:
        raise ImageError("Nothing is linked to image or latent; link a picture or latents to one.")
    pictures = [p for image in images for p in from_batch(image)]
    if not latents:
        return pictures, None
    scaled = [model.scale_latents(entry["samples"].clone()) for entry in latents]
    if len({s.shape[1:] for s in scaled}) > 1:
        raise ImageError("The latents are of several shapes; attribute each shape by itself.")
    return pictures, torch.cat(scaled)


def prompts_of(
    given: list[str], pictures: int, *, by_line: bool
) -> tuple[list[str], tuple[str, ...]]:
    """The prompts, of however many lines each, and what is to be said of them.

    by_line: whether the lines of one text are prompts where there are as many as pictures, as
    earlier versions read them, so that workflows of then give what they gave.
    """
    prompts = [(text or "").strip() for text in given] or [""]
    lines = prompts[0].splitlines()
    if len(prompts) > 1 or pictures < 2 or len(lines) != pictures:
        return prompts, ()
    if by_line:
        return [line.strip() for line in lines], (
            f"The prompt has {pictures} lines, as many as there are pictures: each line is read as "
            "the prompt of one picture. A list of texts says so for certain.",
        )
    return prompts, (
        f"The prompt has {pictures} lines, as many as there are pictures: all of it is the prompt "
        "of every picture. To give each its own, link a list of texts to prompt.",
    )
