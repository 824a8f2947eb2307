"""Bad command lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial

from guda.config import ElboConfig, MemoryConfig, SampleConfig, UnlearnConfig

from .bench import Bench, Case

KINDS = (
    ("unlearn", UnlearnConfig, ""),
    ("unlearn", SampleConfig, "sample_"),
    ("unlearn", MemoryConfig, ""),
    ("attribute", ElboConfig, ""),
)


def _option(b: Bench, command: str, name: str, value: str) -> list[str]:
    return getattr(b, command)(f"--{name.replace('_', '-')}={value}")


def _settings() -> Iterator[Case]:
    for command, kind, prefix in KINDS:
        for f in dataclasses.fields(kind):
            low, high, choices = (f.metadata[k] for k in ("low", "high", "choices"))
            values = {"x": "invalid", "": "invalid"}
            if choices:
                values = {"abacus": "invalid choice", "": "invalid choice"}
            elif type(f.default) is int:
                values |= {"1e3": "invalid", "9" * 5000: "invalid", "1.5": "invalid"}
            else:
                values |= {"nan": "finite", "1e999": "finite"}
            if low is not None:
                values[str(low - 1)] = "the least allowed is"
            if high is not None:
                values[str(high * 10)] = "the most allowed is"
            for value, words in values.items():
                name = f"{command} --{prefix}{f.name} {value[:10]!r}"
                made = partial(_option, command=command, name=prefix + f.name, value=value)
                yield name, made, words


LONG = "x" * 30_000
PATHS = {"": "is empty; give a path", " ": "is empty", "a\0b": "not text", "\udcff": "not text"}
OUT = {
    "/dev/full": "is a file",
    "/dev/full/a/b": "/dev/full is a file",
    "/proc/guda": "cannot be written to",
    "/sys/guda/x": "cannot be written to",
    "x" * 256: "too long a name",
    "/tmp/" + "a/" * 2500: "too long a name",
}
COMMON = {
    "prediction": {"x0": "invalid choice"},
    "resolution": {
        "-8": "not within 0 and 4096",
        "4104": "not within 0 and 4096",
        "1e9": "no whole number",
        "9" * 5000: "no whole number",
        "33": "a side of 33 pixels does not fit",
        "1": "a side of 1 pixels does not fit",
    },
    "precision": {"float8": "invalid choice"},
    "device": {
        "": "cannot be used here",
        "abacus": "'abacus', which cannot be used",
        "cuda:99": "cannot be used",
        "cpu:-1": "cannot be used",
        "meta": "'meta', which cannot be used",
        LONG: "has 30000 characters",
    },
    "style": {
        "nobody": "nobody",
        "no\none": r"no\none",
        LONG: "has 30000 characters",
        "\udcff": "not text",
    },
    "vae": {"none": "leave vae out"},
    "tokenizer": {"none": "leave tokenizer out"},
}
OTHERS: list[Case] = [
    ("nothing", lambda b: [], "required: command"),
    ("unknown command", lambda b: ["train"], "invalid choice: 'train'"),
    ("no model", lambda b: b.unlearn(model=None), "required: --model"),
    ("no groups", lambda b: b.unlearn(groups=None), "--groups --styles is required"),
    ("both groups", lambda b: b.unlearn(styles="a.txt"), "not allowed with argument"),
    ("no out", lambda b: b.unlearn(out=None), "required: --out"),
    ("no image", lambda b: b.attribute(image=None), "required: --image"),
    ("no set", lambda b: b.attribute(counterfactuals=None), "one of the arguments"),
    ("unknown option", lambda b: b.unlearn("--fast"), "unrecognized arguments: --fast"),
    ("stray word", lambda b: b.unlearn("fast"), "unrecognized arguments: fast"),
    ("hostile word", lambda b: b.unlearn("a\nb\x1b[2J"), r"a\nb\x1b[2J"),
    ("huge word", lambda b: b.unlearn("x" * 10**6), "unrecognized arguments"),
    ("bench name", lambda b: ["bench", "cats"], "invalid choice: 'cats'"),
    ("bench data", lambda b: ["bench", "digits", "--data", "d", "--out", b.d], "leave it out"),
    ("bench out", lambda b: ["bench", "digits", "--out", b.picture], "is a file"),
    ("demo out", lambda b: ["demo", "--out", b.picture], "is a file"),
    ("odd evaluations", lambda b: b.attribute(evaluations=7), "give an even number"),
    ("contents of groups", lambda b: b.unlearn(contents=b.picture), "leave it out"),
    ("template", lambda b: b.unlearn(template="a"), 'is "a" without {style}'),
    ("template content", lambda b: b.unlearn(template="{style}"), "without {content}"),
    ("long template", lambda b: b.unlearn(template=LONG), "has 30000 characters"),
    ("long prompt", lambda b: b.attribute(prompt=LONG), "has 30000 characters"),
    ("prompt bytes", lambda b: b.attribute(prompt="\udcff"), "not text"),
    (
        "two prompts",
        lambda b: b.attribute("--prompt", "a", "--prompt", "b"),
        "2 prompts were given for 1 pictures",
    ),
    ("vae of demo", lambda b: b.unlearn(model="demo", vae=b.checkpoint), "leave vae out"),
]


def _all() -> Iterator[Case]:
    yield from _settings()
    for command in ("unlearn", "attribute"):
        for name, values in COMMON.items():
            for value, words in values.items():
                made = partial(_option, command=command, name=name, value=value)
                yield f"{command} --{name} {value[:12]!r}", made, words
        for value, words in (PATHS | OUT).items():
            made = partial(_option, command=command, name="out", value=value)
            yield f"{command} --out {value[:12]!r}", made, words
    for name in ("groups", "model", "vae", "tokenizer"):
        for value in ("a\0b", "\udcff"):
            made = partial(_option, command="unlearn", name=name, value=value)
            yield f"--{name} {value!r}", made, "not text"
    for name in ("counterfactuals", "image"):
        for value, words in PATHS.items():
            made = partial(_option, command="attribute", name=name, value=value)
            yield f"--{name} {value!r}", made, words
    yield from OTHERS


CASES = list(_all())
