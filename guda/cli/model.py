"""The options of commands that take a model, and the model that they give."""

from __future__ import annotations

import argparse
import os

from ..config import PRECISIONS, PREDICTION_CHOICES
from ..errors import ConfigError
from . import arguments


def add(parser: argparse.ArgumentParser) -> None:
    """The options of `asks`, of a model that is needed, and that of style."""
    asks(parser, needed=True)
    parser.add_argument(
        "--style", action="append", type=arguments.text, help="only this style; may be repeated"
    )


def asks(parser: argparse.ArgumentParser, *, needed: bool) -> None:
    """The options, and those of plan and output that such commands share."""
    parser.add_argument(
        "--model",
        required=needed,
        type=arguments.model,
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
    from ..api import load_model
    from ..backbone.files.load import DEMO

    for name in ("vae", "tokenizer"):
        if (given := getattr(args, name)) and (args.model == DEMO or os.path.isdir(args.model)):
            raise ConfigError(
                f"{name} is {given}, but the model {args.model} has its own; leave {name} out."
            )
    return load_model(
        args.model,
        device=args.device,
        precision=args.precision,
        prediction=args.prediction,
        resolution=args.resolution,
        vae=args.vae,
        tokenizer=args.tokenizer,
    )
