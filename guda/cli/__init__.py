"""python -m guda: the whole job without ComfyUI."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from ..config import (
    PRECISIONS,
    PREDICTION_CHOICES,
    ElboConfig,
    MemoryConfig,
    SampleConfig,
    UnlearnConfig,
)
from ..errors import ConfigError, first_line, one_line
from ..files.destination import check_folder
from ..steps import Step
from ..version import __version__
from . import arguments, options
from .stopping import Terminated, terminable


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, or 2 after one line on stderr for bad input."""
    if isinstance(sys.stdout, TextIOWrapper):  # a name that a Windows code page lacks is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    args = _parser().parse_args(argv)
    try:
        with terminable():
            code = args.run(args)
        sys.stdout.flush()  # a full disk is told here, or by the interpreter with a traceback
        return code
    except BrokenPipeError:  # who read the output has seen enough, as `head` has
        _hush()
        return 141
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None:
            _hush()
        told = arguments.last_word(error)
        if told is None:
            raise
        print(f"guda: {one_line(told)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print("guda: stopped; what was finished is kept, run again to continue.", file=sys.stderr)
        return 143 if isinstance(error, Terminated) else 130  # 128 and the signal's number


def _hush() -> None:
    """Nothing more to stdout, which cannot be written to: the interpreter would try at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = arguments.Parser(
        prog="guda", description="Which style groups did this model learn this image from?"
    )
    parser.add_argument("--version", action="version", version=f"guda {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    demo = commands.add_parser("demo", help="the whole job on the built-in model")
    demo.add_argument(
        "--out", type=arguments.path, default=Path("guda-demo"), help="where results go"
    )
    demo.add_argument("--json", action="store_true", help="print the result as JSON")
    demo.set_defaults(run=_demo)

    groups = commands.add_parser("groups", help="what is read of a folder of styles, and what not")
    groups.add_argument("folder", type=Path, help="folder with one subfolder per style")
    groups.add_argument("--template", help="how a caption is made, e.g. '{content}, by {style}'")
    groups.add_argument("--json", action="store_true", help="print it as JSON")
    groups.set_defaults(run=_groups)

    unlearn = commands.add_parser("unlearn", help="make counterfactual LoRAs, resumable")
    _common(unlearn)
    source = unlearn.add_mutually_exclusive_group(required=True)
    source.add_argument("--groups", type=arguments.path, help="folder with one subfolder per style")
    source.add_argument(
        "--styles",
        type=arguments.path,
        help="text file of prompt-only styles, 'Name: phrase' per line",
    )
    unlearn.add_argument(
        "--contents",
        type=arguments.path,
        help="text file of what prompt-only groups show, one per line; "
        "without it, everyday subjects",
    )
    unlearn.add_argument(
        "--template",
        type=arguments.text,
        help="how a caption is made, e.g. '{content}, by {style}'",
    )
    unlearn.add_argument("--out", type=arguments.path, required=True, help="folder of the set")
    options.add(unlearn, UnlearnConfig)
    options.add(unlearn, SampleConfig, prefix="sample-")
    options.add(unlearn, MemoryConfig)
    unlearn.set_defaults(run=_unlearn)

    attribute = commands.add_parser("attribute", help="score pictures against a set")
    _common(attribute)
    attribute.add_argument(
        "--counterfactuals", type=arguments.path, required=True, help="folder of the set"
    )
    attribute.add_argument(
        "--image", type=arguments.path, required=True, nargs="+", help="pictures"
    )
    attribute.add_argument(
        "--prompt",
        action="append",
        type=arguments.text,
        help="what the picture shows; once for all, or per picture",
    )
    attribute.add_argument(
        "--out", type=arguments.path, required=True, help="where the report goes"
    )
    options.add(attribute, ElboConfig)
    attribute.set_defaults(run=_attribute)

    bench = commands.add_parser("bench", help="agreement with retraining, beside the baselines")
    bench.add_argument("name", choices=["digits", "styles"], help="which benchmark")
    bench.add_argument(
        "--out", type=arguments.path, default=Path("guda-bench"), help="where results go"
    )
    bench.add_argument("--quick", action="store_true", help="small, in at most four minutes")
    bench.add_argument(
        "--data", type=arguments.path, help="styles: a folder of groups, one per subfolder"
    )
    bench.add_argument(
        "--split", choices=["test", "dev"], default="test", help="dev: the queries to tune on"
    )
    bench.add_argument(
        "--clip", type=arguments.path, help="folder of a CLIP, for similarity by its features"
    )
    bench.add_argument("--json", action="store_true", help="print the result as JSON")
    bench.set_defaults(run=_bench)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
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


def _load(args: argparse.Namespace):
    """The model, at work on the device, with the parts that are not at work in main memory."""
    from ..backbone import precision
    from ..backbone.files.load import DEMO, load

    for name in ("vae", "tokenizer"):
        if (given := getattr(args, name)) and (args.model == DEMO or os.path.isdir(args.model)):
            raise ConfigError(
                f"{name} is {given}, but the model {args.model} has its own; leave {name} out."
            )
    device = _device(args.device)
    backbone = load(
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


def _demo(args: argparse.Namespace) -> int:
    from ..demo.run import run_demo

    check_folder(args.out, "out")
    with Progress() as progress:
        result = run_demo(args.out, progress)
    _finish(result.attribution, result.report, args.json)
    return 0


def _groups(args: argparse.Namespace) -> int:
    from ..groups import check_pictures, load_folder, telling

    groups = load_folder(args.folder, template=args.template)
    check_pictures(groups)
    told = json.dumps(telling.to_dict(groups), indent=2) if args.json else telling.to_text(groups)
    print(told)
    return 0


def _unlearn(args: argparse.Namespace) -> int:
    from ..groups import (
        check_pictures,
        from_prompts,
        load_folder,
        parse_contents,
        parse_styles,
        telling,
    )
    from ..groups.contents import CONTENTS
    from ..jobs.plan import plan_unlearn
    from ..jobs.unlearn import UnlearnRequest, unlearn
    from ..steps import drain
    from ..unlearning.recipe import recommended

    options.read(args, UnlearnConfig)  # what is wrong is refused before the model is loaded
    sampling, told = options.read(args, SampleConfig), ""
    memory = options.read(args, MemoryConfig)
    check_folder(args.out, "out")
    if args.groups is not None and args.contents is not None:
        raise ConfigError(
            f"contents is {args.contents}, but the groups of {args.groups} have pictures; leave it "
            "out, or give styles in place of groups."
        )
    if args.groups is not None:
        groups = load_folder(args.groups, template=args.template)
        check_pictures(groups)
        told = telling.to_text(groups, short=True)
    else:
        template = {"template": args.template} if args.template else {}
        groups = from_prompts(
            parse_styles(_read(args.styles)),
            CONTENTS if args.contents is None else parse_contents(_read(args.contents)),
            pictures=sampling.pictures,
            **template,
        )
    backbone = _load(args)
    request = UnlearnRequest(
        backbone,
        groups,
        args.out,
        options.read(args, UnlearnConfig, recommended(backbone)),
        args.style,
        sampling,
        memory=memory,
    )
    if args.plan:
        return _tell(plan_unlearn(request), args.json, told)
    with Progress(told) as progress:
        made = drain(unlearn(request), progress)
    if args.json:
        rows = [
            {"group": e.name, "file": str(made.path(e))} | e.gate.as_dict() for e in made.entries
        ]
        told = {"folder": str(made.folder), "groups": rows, "warnings": made.warnings}
        print(json.dumps(told, indent=2))
        return 0
    for entry in made.entries:
        state = "passed" if entry.gate.passed else "REFUSED"
        print(f"{entry.name}: {state}, {entry.gate.reason}; {made.path(entry)}")
    return 0


def _attribute(args: argparse.Namespace) -> int:
    from ..counterfactuals import load_set
    from ..groups import pictures
    from ..jobs.attribute import AttributeRequest, attribute
    from ..jobs.plan import plan_attribute
    from ..report import save
    from ..steps import drain

    config = options.read(args, ElboConfig)
    check_folder(args.out, "out")
    found = load_set(args.counterfactuals)
    if args.style:
        found = found.subset(args.style)
    for path in args.image:
        pictures.check(path)
    backbone = _load(args)
    loaded = [pictures.load(path, backbone.resolution) for path in args.image]
    request = AttributeRequest(
        backbone, found, loaded, [p.name for p in args.image], args.prompt or [""], config
    )
    if args.plan:
        return _tell(plan_attribute(request), args.json)
    with Progress() as progress:
        attribution = drain(attribute(request), progress)
    _finish(attribution, save(attribution, args.out), args.json)
    return 0


def _bench(args: argparse.Namespace) -> int:
    from ..bench import digits, report, styles
    from ..bench.benchmark import with_clip
    from ..bench.run import run
    from ..steps import drain

    check_folder(args.out, "out")
    out = args.out / (f"{args.name}-quick" if args.quick else args.name)
    if args.name == "styles":
        bench = styles.benchmark(out, args.quick, args.data)
    elif args.data is not None:
        raise ConfigError(f"data is {args.data}, but digits brings its own; leave it out.")
    else:
        bench = digits.benchmark(out, args.quick)
    if args.clip is not None:
        bench = with_clip(bench, args.clip)
    with Progress() as progress:
        result = drain(run(bench, out, args.split), progress)
    path = report.save(result, out / args.split)
    if args.json:
        print(json.dumps(report.to_dict(result), indent=2))
        return 0
    print(report.to_markdown(result))
    print(f"Results: {path}")
    return 0


def _finish(attribution, report, as_json: bool) -> None:
    from ..report import to_dict, to_markdown

    if as_json:
        print(json.dumps(to_dict(attribution), indent=2))
        return
    print(to_markdown(attribution))
    print(f"Report: {report.html}")


def _read(path: Path) -> str:
    from ..files.reading import read_text

    return read_text(path)


def _tell(steps, as_json: bool, told: str = "") -> int:
    """Print a plan; `told` and its warnings come on stderr."""
    from ..steps import drain

    progress = Progress(told)
    plan = drain(steps, lambda step: progress(step) if step.warning else progress.begin())
    progress.begin()
    print(json.dumps(plan.as_dict(), indent=2) if as_json else plan)
    return 0


def _device(name: str):
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


class Progress:
    """Shows steps on stderr: one live line in a terminal, a line per stage and group otherwise.

    told: what stands before the first step, once the work has not been refused.
    """

    def __init__(self, told: str = "", stream: TextIO | None = None):
        self._stream = stream or sys.stderr
        self._told = told
        self._live = self._stream.isatty()
        self._shown = 0.0
        self._last: tuple[str, str] | None = None
        self._said: set[str] = set()
        self._started = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live and self._last:
            self._stream.write("\r\x1b[K")

    def begin(self) -> None:
        if self._told:
            self._stream.write(f"{self._told}\n")
            self._told = ""

    def __call__(self, step: Step) -> None:
        now, place = time.monotonic(), (step.stage, step.group)
        self.begin()
        if step.warning:
            if step.warning in self._said:
                return
            self._said.add(step.warning)
            clear = "\r\x1b[K" if self._live and self._last else ""
            self._stream.write(f"{clear}guda: {step}\n")
            return
        if self._live:
            if now - self._shown > 0.1 or step.done == step.total:
                self._stream.write(f"\r\x1b[K{step}")
                self._stream.flush()
                self._shown = now
        elif place != self._last:
            self._stream.write(f"[{now - self._started:5.1f} s] {step}\n")
        self._last = place
