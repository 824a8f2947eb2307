"""The options of commands that take a model, and the model that they give."""

from __future__ import annotations

import argparse
import os

from ..config import PRECISIONS, PREDICTION_CHOICES
from ..errors import ConfigError, first_line
from . import arguments


def add(parser: argparse.ArgumentParser) -> None:
    """The options, and those of style, plan and output that such commands share."""
    parser.add_argument(
        "--model",
        required=True,
        type=arguments.text,
        help="a .safetensors checkpoint, a diffusers folder, or 'demo' for the built-in model",
    )
    parser.add_argument(
        "--prediction",
        choices=PREDICTION_CHOICES,
        default="auto",
        help="what the model predicts; auto finds out (default: %(default)s)",
    )
    parser.add_argument(
        "--resolution",
        type=arguments.resolution,
        default=0,
        metavar="PIXELS",
        help="side of the pictures, less to save time and memory; 0 for the model's own "
        "(default: %(default)s)",
    )
    parser.add_argument("--vae", type=arguments.path, help="VAE file for a checkpoint without one")
    parser.add_argument(
        "--tokenizer",
        type=arguments.path,
        help="folder with vocab.json and merges.txt, for checkpoints",
    )
    parser.add_argument(
        "--device",
        type=arguments.text,
        default="auto",
        help="auto, cpu, cuda, cuda:1, mps, xpu ...",
    )
    parser.add_argument(
        "--style", action="append", type=arguments.text, help="only this style; may be repeated"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="number format of the model; auto: float32 on a CPU, else float16 (default: auto)",
    )
    parser.add_argument(
        "--plan",
        action="store_true",
        help="only say what it will take: steps, UNet evaluations, time, memory, disk",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def load(args: argparse.Namespace):
    """The model, at work on the device, with the parts that are not at work in main memory."""
    from ..backbone import precision
    from ..backbone.files.load import DEMO
    from ..backbone.files.load import load as load_file

    for name in ("vae", "tokenizer"):
        if (given := getattr(args, name)) and (args.model == DEMO or os.path.isdir(args.model)):
            raise ConfigError(
                f"{name} is {given}, but the model {args.model} has its own; leave {name} out."
            )
    device = device_of(args.device)
    backbone = load_file(
        args.model,
        dtype=precision.of_file(args.precision, device),
        prediction=args.prediction,
        resolution=args.resolution,
        vae=args.vae,
        tokenizer=args.tokenizer,
    )
    backbone.cast(args.precision, device)
    backbone.move(device, rest="cpu")
    return backbone


def device_of(name: str):
    import torch

    if name == "auto":
        accelerator = getattr(torch, "accelerator", None)
        if accelerator is not None and accelerator.is_available():
            return accelerator.current_accelerator()
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # not with meta, which holds no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"device is {name!r}, which cannot be used here ({first_line(error)}); try cpu."
        ) from None
    return device
