"""Bad counterfactual sets: manifests and LoRAs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from .bench import Bench, Case, edit
from .models import HEADERS

MANIFEST, LORA = "counterfactuals.json", "dots.safetensors"
READ = f"{MANIFEST} cannot be read ("


def _set(b: Bench, change: Callable[[Path], Any]) -> list[str]:
    folder = b.copy("set")
    change(folder)
    return b.attribute(counterfactuals=folder)


def _text(content: str | bytes) -> Callable[[Path], Any]:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / MANIFEST).write_bytes(data)


def _data(change: Callable[[dict], Any]) -> Callable[[Path], Any]:
    return lambda folder: edit(folder / MANIFEST, change)


def _entry(**values: Any) -> Callable[[Path], Any]:
    return _data(lambda data: data["groups"][0].update(values))


def _measures(drift: Any) -> dict[str, Any]:
    return {"achieved": None, "unnamed": None, "scores": None, "drift": drift}


def _gate(**values: Any) -> Callable[[Path], Any]:
    return _data(lambda data: data["groups"][0]["gate"].update(values))


def _lora(change: Callable[[dict], Any]) -> Callable[[Path], Any]:
    def write(folder: Path) -> None:
        with safe_open(folder / LORA, "pt") as file:
            tensors = {k: file.get_tensor(k).clone() for k in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        changed = change(tensors)
        save_file(changed if isinstance(changed, dict) else tensors, folder / LORA, metadata)

    return write


def _first(tensors: dict, ending: str) -> str:
    return next(k for k in tensors if k.endswith(ending))


def _pipe(name: str) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


MANIFESTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "gone": (lambda f: (f / MANIFEST).unlink(), f"({MANIFEST} is missing)"),
    "folder": (lambda f: ((f / MANIFEST).unlink(), (f / MANIFEST).mkdir()), "is a folder"),
    "pipe": (_pipe(MANIFEST), f"{MANIFEST} is a pipe"),
    "empty": (_text(""), READ),
    "list": (_text("[]"), READ),
    "null": (_text("null"), READ),
    "cut": (_text('{"groups": ['), READ),
    "utf-16": (_text("{}".encode("utf-16")), READ),
    "nested": (_text("[" * 99_999), "more than 64 deep"),
    "nan": (_text('{"groups": NaN}'), "NaN is no number"),
    "infinity": (_text('{"groups": [Infinity]}'), "Infinity is no number"),
    "digits": (_text("9" * 5000), "too large a number"),
    "twice": (_text('{"groups": [], "groups": []}'), "stands twice"),
    "half": (_text(r'{"base_model": "\ud800"}'), "half of a character"),
    "no groups": (_data(lambda d: d.pop("groups") and None), '"groups" is missing'),
    "groups object": (_data(lambda d: d.update(groups={})), '"groups" is {}'),
    "groups of numbers": (_data(lambda d: d.update(groups=[1])), "1 is no object"),
    "groups none": (_data(lambda d: d.update(groups=[])), "holds no style"),
    "fingerprint number": (_data(lambda d: d.update(fingerprint=3)), '"fingerprint" is 3'),
    "fingerprint other": (_data(lambda d: d.update(fingerprint="x" * 32)), "was made from"),
    "model list": (_data(lambda d: d.update(base_model=[])), '"base_model" is []'),
    "recipe text": (_data(lambda d: d.update(recipe="a")), "\"recipe\" is 'a'"),
    "group twice": (_data(lambda d: d["groups"].append(d["groups"][0])), "stands there twice"),
    "name number": (_entry(name=3), '"name" is 3'),
    "name blank": (_entry(name=" "), "has the name ' '"),
    "name huge": (_entry(name=["x" * 10**6]), '"name" is'),
    "slug outside": (_entry(slug="../../etc/passwd"), "'../../etc/passwd'"),
    "slug absolute": (_entry(slug="/etc/passwd"), "'/etc/passwd'"),
    "slug zero": (_entry(slug="a\0b"), "slug"),
    "slug long": (_entry(slug="x" * 300), "slug"),
    "slug other": (_entry(slug="nobody"), "nobody.safetensors is missing"),
    "key other": (_entry(key="other"), "was made from other pictures or settings"),
    "key list": (_entry(key=[]), '"key" is []'),
    "gate list": (_entry(gate=[]), '"gate" is []'),
    "gate empty": (_entry(gate={}), '"forget_full" is None'),
    "gate text": (_gate(forget_full="1.0"), "\"forget_full\" is '1.0'"),
    "gate true": (_gate(forget_full=True), '"forget_full" is True'),
    "gate zero": (_gate(forget_full=0), "a gate's error is not positive"),
    "gate below zero": (_gate(retain_full=-1.0), "a gate's error is not positive"),
    "gate huge": (_gate(forget_full=10**400), "too large a number"),
    "gate failed": (_gate(forget_without=0.5), "failed its gate"),
    "certificate list": (_entry(certificate=[]), "[] is no object"),
    "certificate empty": (_entry(certificate={}), '"achieved" is missing'),
    "certificate text": (_entry(certificate=_measures("none")), "a measure is 'none'"),
    "certificate true": (
        _entry(certificate=_measures({"overall": {"value": True}})),
        '"a share" is True',
    ),
    "losses text": (_entry(losses="abc"), "\"losses\" is 'abc'"),
    "losses short": (_entry(losses=[[1, 2]]), READ),
    "losses of text": (_entry(losses=[["a", 1, 1]]), "\"losses\" is 'a'"),
}
LORAS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "gone": (lambda f: (f / LORA).unlink(), "is missing; unlearn"),
    "folder": (lambda f: ((f / LORA).unlink(), (f / LORA).mkdir()), LORA),
    "pipe": (_pipe(LORA), LORA),
    "of another model": (lambda f: save_file({"a": torch.ones(1)}, f / LORA), LORA),
    "no layers": (_lora(lambda t: {"lora_unet_x.alpha": torch.ones(1)}), LORA),
    "nan": (_lora(lambda t: t[_first(t, "up.weight")].fill_(float("nan"))), LORA),
    "one missing": (_lora(lambda t: t.pop(_first(t, "up.weight")) is None), LORA),
    "other shape": (_lora(lambda t: t.update({_first(t, "up.weight"): torch.ones(3)})), LORA),
    "other rank": (_lora(lambda t: t.update({_first(t, ".alpha"): torch.tensor(9.0)})), LORA),
    "alpha list": (_lora(lambda t: t.update({_first(t, ".alpha"): torch.ones(4)})), LORA),
    "foreign layer": (_lora(lambda t: t.update({"lora_te_x.alpha": torch.ones(1)})), LORA),
}


def _write(content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / LORA).write_bytes(content)


def _others() -> Iterator[Case]:
    for name, path in {"none": "none", "device": "/dev/zero", "long": "x" * 300}.items():
        made = partial(lambda b, p: b.attribute(counterfactuals=p), p=path)
        yield f"set {name}", made, path[:50]
    yield (
        "set file",
        lambda b: b.attribute(counterfactuals=b.picture),
        "is a file; give the folder",
    )
    yield "set empty", lambda b: b.attribute(counterfactuals=b.d), "There is no counterfactual set"
    yield "no such style", lambda b: b.attribute(style="oil"), "'oil' is not in the counterfactual"
    yield "other model", lambda b: b.attribute(model="demo"), "was made from the model"


CASES: list[Case] = [
    *((f"manifest {k}", partial(_set, change=c), w) for k, (c, w) in MANIFESTS.items()),
    *((f"lora {k}", partial(_set, change=c), w) for k, (c, w) in LORAS.items()),
    *((f"lora header {k}", partial(_set, change=_write(c)), LORA) for k, (c, _) in HEADERS.items()),
    *_others(),
]
