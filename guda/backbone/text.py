"""Prompts to conditions: one CLIP text encoder (SD 1.x, 2.x) or two (SDXL)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..diffusion.protocol import Conditioning


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

    def tokens(self, prompts: Sequence[str]) -> Tensor:
        """(n, tokens) long."""
        length = self.tokenizer.model_max_length
        if self.pad is None:
            return self.tokenizer(
                list(prompts),
                padding="max_length",
                truncation=True,
                max_length=length,
                return_tensors="pt",
            ).input_ids
        # Not by the tokenizer: a pad token such as "!" would then be read out of prompts, too.
        pad = self.tokenizer.convert_tokens_to_ids(self.pad)
        rows = self.tokenizer(list(prompts), truncation=True, max_length=length).input_ids
        return torch.tensor([row + [pad] * (length - len(row)) for row in rows])

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

    @torch.no_grad()
    def encode(self, prompts: Sequence[str], device: torch.device) -> Conditioning:
        """One row per prompt; each different prompt is encoded once."""
        unique = list(dict.fromkeys(prompts))
        embeds, pooled = [], []
        for part in self.parts:
            ids = part.tokens(unique).to(device)
            rows = [part.encode(some) for some in ids.split(32)]
            embeds.append(torch.cat([e for e, _ in rows]))
            if part.pooled:
                pooled.append(torch.cat([p for _, p in rows if p is not None]))
        place = {p: i for i, p in enumerate(unique)}
        index = [place[p] for p in prompts]
        added = {"text_embeds": pooled[0][index]} if pooled else {}
        return Conditioning(torch.cat(embeds, -1)[index], added)
