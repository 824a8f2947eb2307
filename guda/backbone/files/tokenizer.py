"""CLIP's tokenizer, whose files checkpoints do not hold: from ComfyUI or an installed package."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import ModelError

VARIABLE = "GUDA_TOKENIZER"
LENGTH = 77
_MERGES = 49152 - 256 - 2  # what CLIP uses of OpenCLIP's longer list
_IN_COMFYUI = Path("comfy", "sd1_tokenizer")


def clip_tokenizer(folder: Path | str | None = None) -> Any:
    """CLIP's tokenizer from `folder` (vocab.json and merges.txt), or from where one is found.

    Looked at in turn: `folder`, the folder in the variable GUDA_TOKENIZER, ComfyUI (COMFYUI_PATH,
    or the one that holds this pack), the package open_clip. Nothing is fetched. Raises ModelError.
    """
    chosen = folder or os.environ.get(VARIABLE)
    if chosen:
        path = Path(chosen).expanduser()
        if not _has_files(path):
            raise ModelError(
                f"The tokenizer folder {path} has no vocab.json and merges.txt; give a folder with "
                "both, such as ComfyUI's comfy/sd1_tokenizer."
            )
        return _load(path)
    for path in _comfyui():
        if _has_files(path):
            return _load(path)
    package = find_spec("open_clip")
    for place in (package.submodule_search_locations or ()) if package else ():
        path = Path(place, "bpe_simple_vocab_16e6.txt.gz")
        if path.is_file():
            return _from_merges(path)
    raise ModelError(
        "A checkpoint file holds no tokenizer, and CLIP's was not found. Set COMFYUI_PATH to "
        f"ComfyUI's folder, or {VARIABLE} (or --tokenizer) to a folder with vocab.json and "
        "merges.txt, or install the package open_clip_torch."
    )


def _comfyui() -> list[Path]:
    here = Path(__file__).absolute()
    parents = [p.parent for p in here.parents if p.name == "custom_nodes"]
    named = os.environ.get("COMFYUI_PATH")
    return [p / _IN_COMFYUI for p in (*([Path(named).expanduser()] if named else []), *parents)]


def _has_files(path: Path) -> bool:
    return (path / "vocab.json").is_file() and (path / "merges.txt").is_file()


@lru_cache(maxsize=4)
def _load(path: Path) -> Any:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(path, local_files_only=True)
    tokenizer.model_max_length = LENGTH
    return tokenizer


def from_folder(path: Path) -> Any:
    """A diffusers folder's own, by the class that can read the files that are there."""
    import transformers

    name = "CLIPTokenizer" if _has_files(path) else "CLIPTokenizerFast"
    kind: Any = getattr(transformers, name, transformers.CLIPTokenizer)
    return kind.from_pretrained(path, local_files_only=True)


@lru_cache(maxsize=1)
def _from_merges(path: Path) -> Any:
    """From OpenCLIP's list of merges: the vocabulary is the bytes, then the merges, in order."""
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    merges = lines[1 : _MERGES + 1]
    letters = _byte_letters()
    words = letters + [c + "</w>" for c in letters] + ["".join(m.split()) for m in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        vocabulary = {word: i for i, word in enumerate(words)}
        (place / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
        (place / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), "utf-8")
        special = {
            "unk_token": "<|endoftext|>",
            "bos_token": "<|startoftext|>",
            "eos_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": LENGTH,
        }
        (place / "tokenizer_config.json").write_text(json.dumps(special), "utf-8")
        return _load.__wrapped__(place)


def _byte_letters() -> list[str]:
    """The printable stand-in of every byte, in the order of GPT-2's byte pair encoding."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(rest))]
