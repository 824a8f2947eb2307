"""Prompts to conditions: one CLIP text encoder (SD 1.x, 2.x) or two (SDXL).

A prompt that is longer than the encoder takes is read in chunks, as in ComfyUI: each has its own
start and end, and their embeddings stand behind one another. `BREAK` begins a new chunk. Weights,
as in "(word:1.2)", are no markup here: training captions are read as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ..diffusion.conditioning import MOST_CHUNKS, Conditioning

_BREAK = re.compile(r"\bBREAK\b")


@dataclass(frozen=True)
class TextPart:
    """One text encoder and how its answer is used.

    pad: what fills a prompt up to the tokenizer's length; None: the tokenizer's own pad token.
    layer: the hidden layer used, counted from the end; norm: whether the final norm follows.
    pooled: whether the projected end-of-text token is used as well (SDXL's second encoder).
    """

    encoder: Any
    tokenizer: Any
    layer: int = -1
    norm: bool = True
    pad: str | None = None
    pooled: bool = False

    @property
    def length(self) -> int:
        """Tokens that the encoder takes at once, start and end among them."""
        return self.tokenizer.model_max_length

    def tokens(self, prompts: Sequence[str], most: int | None = MOST_CHUNKS) -> list[Tensor]:
        """(chunks, length) long for every prompt; `most` chunks of it at most."""
        parts = [_sections(p) for p in prompts]
        # Not padded by the tokenizer: a pad token such as "!" would be read out of prompts, too.
        name = self.tokenizer.pad_token if self.pad is None else self.pad
        pad = self.tokenizer.convert_tokens_to_ids(name)
        read = iter(self.tokenizer([s for p in parts for s in p], verbose=False).input_ids)
        chunked = []
        for sections in parts:
            rows = [row for _ in sections for row in self._chunks(next(read), pad, most)]
            chunked.append(torch.tensor(rows if most is None else _ends(rows, most)))
        return chunked

    def _chunks(self, ids: list[int], pad: int, most: int | None) -> list[list[int]]:
        """Tokens with their start and end, in rows of the encoder's length."""
        (start, *words, end), size = ids, self.length - 2
        if most is not None and len(words) > most * size:
            words = words[: (most - 1) * size] + words[-size:]
        rows = [words[i : i + size] for i in range(0, max(1, len(words)), size)]
        return [[start, *row, end] + [pad] * (size - len(row)) for row in rows]

    def encode(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Embeddings (n, tokens, width), and (n, width) pooled ones."""
        if self.layer == -1 and self.norm and not self.pooled:
            return self.encoder(ids).last_hidden_state, None
        out = self.encoder(ids, output_hidden_states=True)
        hidden = out.hidden_states[self.layer]
        if self.norm:
            hidden = inner(self.encoder).final_layer_norm(hidden)
        return hidden, out.text_embeds if self.pooled else None


def inner(encoder: nn.Module) -> Any:
    """The transformer inside: some versions of transformers wrap it as `text_model`."""
    return getattr(encoder, "text_model", encoder)


class Text:
    """The text side of a model; `module` holds every encoder, to be moved and fingerprinted."""

    def __init__(self, parts: Sequence[TextPart]):
        self.parts = tuple(parts)
        encoders = [p.encoder for p in self.parts]
        self.module: nn.Module = encoders[0] if len(encoders) == 1 else nn.ModuleList(encoders)
        self._counts: dict[str, int] = {}

    @classmethod
    def of_pipeline(cls, pipeline: Any) -> Text:
        """As diffusers' own pipelines use their encoders."""
        second = getattr(pipeline, "text_encoder_2", None)
        if second is None:
            return cls([TextPart(pipeline.text_encoder, pipeline.tokenizer)])
        return cls(
            [
                TextPart(pipeline.text_encoder, pipeline.tokenizer, -2, False),
                TextPart(second, pipeline.tokenizer_2, -2, False, pooled=True),
            ]
        )

    def chunks(self, prompts: Sequence[str]) -> list[int]:
        """Chunks of every prompt, all of them."""
        part = self.parts[0]
        new = []
        for p in dict.fromkeys(prompts):
            if p.isascii() and len(p) <= part.length - 2 and "BREAK" not in p:
                self._counts[p] = 1  # a token is a byte at least
            elif p not in self._counts:
                new.append(p)
        if new:
            self._counts |= zip(new, map(len, part.tokens(new, None)), strict=True)
        return [self._counts[p] for p in prompts]

    @torch.no_grad()
    def encode(self, prompts: Sequence[str], device: torch.device) -> Conditioning:
        """One row per prompt; each different prompt is encoded once."""
        unique = list(dict.fromkeys(prompts))
        embeds: list[list[Tensor]] = []  # of every encoder, of every prompt (tokens, width)
        pooled = []
        for part in self.parts:
            tokens = part.tokens(unique)
            counts = [len(x) for x in tokens]
            rows = [part.encode(some) for some in torch.cat(tokens).to(device).split(32)]
            hidden = torch.cat([e for e, _ in rows]).split(counts)
            embeds.append([e.flatten(0, 1) for e in hidden])
            if part.pooled:  # that of the first chunk
                first = torch.tensor(counts).cumsum(0) - torch.tensor(counts)
                pooled.append(torch.cat([p for _, p in rows if p is not None])[first.to(device)])
        lengths = [min(map(len, of_one)) for of_one in zip(*embeds, strict=True)]
        whole = [
            torch.cat([e[:n] for e in of_one], -1)
            for n, *of_one in zip(lengths, *embeds, strict=True)
        ]
        place = {p: i for i, p in enumerate(unique)}
        index = [place[p] for p in prompts]
        added = {"text_embeds": pooled[0]} if pooled else {}
        several = torch.tensor(lengths, device=device) if len(set(lengths)) > 1 else None
        return Conditioning(pad_sequence(whole, batch_first=True), added, several).take(index)


def _sections(prompt: str) -> list[str]:
    """What stands between the BREAKs."""
    parts = _BREAK.split(prompt)
    return [s.strip() for s in parts if s.strip()] or [""] if len(parts) > 1 else parts


def _ends(rows: list[list[int]], most: int) -> list[list[int]]:
    return rows if len(rows) <= most else [*rows[: most - 1], rows[-1]]
