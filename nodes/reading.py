"""Prompts as the graph's own CLIP reads them, where they are more than plain words.

ComfyUI weighs what stands in round brackets, "(word:1.2)", and loads "embedding:name". Plain words,
however many, are read alike by both (tests/nodes/native.py), and so by the pack's own encoder: a
model gives the same scores from a file and from a graph.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import folder_paths
import torch

from ..guda.diffusion import Conditioning

MARKED = re.compile(r"[()\\]|\bembedding:", re.IGNORECASE)
EMBEDDING = re.compile(r"\bembedding:([^\s,()<>:]+)", re.IGNORECASE)


def weighed(prompt: str) -> bool:
    """Whether the graph's CLIP may read it otherwise than as plain words."""
    return MARKED.search(prompt) is not None


def unknown(prompts: Sequence[str]) -> list[str]:
    """Embeddings that ComfyUI will leave out, as they are not in its folders."""
    named = {m[1] for p in prompts for m in EMBEDDING.finditer(p)}
    if not named:
        return []
    files = folder_paths.get_filename_list("embeddings")
    there = {n for f in files for n in (f, f.rsplit(".", 1)[0])}
    return sorted(named - there)


class GraphText:
    """In place of `guda.backbone.text.Text`: that of the same model, and its CLIP in the graph."""

    def __init__(self, own: Any, clip: Any):
        self._own, self._clip = own, clip
        self.module, self.parts = own.module, own.parts

    def chunks(self, prompts: Sequence[str]) -> list[int]:
        counts = self._own.chunks(prompts)
        return [
            max(map(len, self._clip.tokenize(p).values())) if weighed(p) else n
            for p, n in zip(prompts, counts, strict=True)
        ]

    def encode(self, prompts: Sequence[str], device: torch.device) -> Conditioning:
        """One row per prompt; each different prompt is encoded once."""
        unique = list(dict.fromkeys(prompts))
        plain = [p for p in unique if not weighed(p)]
        parts, place = [], {p: i for i, p in enumerate(plain)}
        if plain:
            parts.append(self._own.encode(plain, device))
        for prompt in unique:
            if prompt not in place:
                place[prompt] = len(place)
                parts.append(self._read(prompt, device))
        return Conditioning.cat(parts).take([place[p] for p in prompts])

    def _read(self, prompt: str, device: torch.device) -> Conditioning:
        with torch.inference_mode():
            tokens = self._clip.tokenize(prompt)
            cond, pooled = self._clip.encode_from_tokens(tokens, return_pooled=True)
        added = {}
        if any(part.pooled for part in self.parts):
            added["text_embeds"] = pooled.to(device).float().clone()
        return Conditioning(cond.to(device).float().clone(), added)
