"""The training loop of one counterfactual, resumable at any step."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..anchors import context as anchor_context
from ..backbone import Backbone, LoraWeights
from ..config import UnlearnConfig
from ..encoded import EncodedGroup, PromptTable
from ..errors import ConfigError, DivergedError
from ..files import write_atomically
from ..groups import StyleGroups
from ..noise import seed_of
from ..steps import Step, Steps
from .gate import Gate, measure
from .operators import NEED_NEIGHBOURS, NEED_PROMPTS, OPERATORS
from .plan import make_batch, nearest_retain, plan_step

Loss = tuple[int, float, float]
"""Step, forget and preserve loss."""


@dataclass(frozen=True)
class Unlearned:
    """The LoRA of one group, how its losses went, and what its gate measured."""

    lora: LoraWeights
    losses: tuple[Loss, ...]
    gate: Gate


def unlearn_group(
    backbone: Backbone,
    groups: StyleGroups,
    encoded: dict[str, EncodedGroup],
    name: str,
    config: UnlearnConfig,
    checkpoint: Path | None = None,
    key: str = "",
) -> Steps[Unlearned]:
    """Unlearn the group `name`; yields once per step.

    checkpoint: where to keep the state every `config.checkpoint_every` steps; a file there whose
    key is `key` is continued from, any other is ignored. Raises DivergedError when a loss is not
    finite; the last good checkpoint stays on disk.
    """
    if config.operator in NEED_PROMPTS and not backbone.conditional:
        raise ConfigError(
            f"operator is {config.operator!r}, which needs prompts, and the model {backbone.name} "
            "takes none; choose retrack."
        )
    group = groups[name]
    anchors = anchor_context(backbone, groups, group, config)
    plans = [plan_step(s, encoded, anchors, backbone.schedule, config) for s in range(config.steps)]
    prompts = PromptTable(
        backbone,
        (p for x in plans for p in (*x.forget_prompts, *x.anchor_prompts, *x.retain_prompts)),
    )
    operator = OPERATORS[config.operator]
    neighbours = None
    if config.operator in NEED_NEIGHBOURS:
        neighbours = nearest_retain(encoded, name, config.neighbours)
    losses: list[Loss] = []
    with backbone.training_lora(
        modules=config.modules,
        rank=config.rank,
        alpha=config.lora_alpha,
        seed=seed_of("lora", config.seed, name),
    ) as lora:
        parameters = lora.parameters()
        optimizer = torch.optim.AdamW(
            parameters.values(), lr=config.lr, weight_decay=config.weight_decay
        )
        if checkpoint is not None:
            losses = _restore(checkpoint, key, parameters, optimizer)

        def full(x_t, t, condition):
            with lora.off():
                return backbone.predict_eps(x_t, t, condition)

        for step in range(len(losses), config.steps):
            batch = make_batch(
                step,
                plans[step],
                encoded,
                prompts,
                name,
                backbone.schedule,
                config.seed,
                neighbours,
            )
            for param_group in optimizer.param_groups:
                param_group["lr"] = config.lr * learning_rate(step, config)
            forget, preserve = operator(full, backbone.predict_eps, batch, config)
            loss = forget + config.preserve_weight * preserve
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(list(parameters.values()), config.clip_norm)
            if not math.isfinite(loss.item() + norm.item()):
                raise DivergedError(
                    f"Unlearning {name!r} stopped at step {step + 1}: the loss is {loss.item()}, "
                    f"its gradient norm {norm.item()}. Lower lr (it is {config.lr:g}) and run "
                    "again; what was finished before is kept."
                )
            optimizer.step()
            optimizer.zero_grad()
            losses.append((step, forget.item(), preserve.item()))
            if checkpoint is not None and _is_due(step + 1, config):
                _save(checkpoint, key, parameters, optimizer, losses)
            yield Step(
                "unlearn", step + 1, config.steps, name, loss.item(), forget.item(), preserve.item()
            )
        weights = lora.weights()
    yield Step("gate", 0, 1, name)
    gate = measure(backbone, encoded, name, weights, seed=config.seed, margin=config.gate_margin)
    yield Step("gate", 1, 1, name)
    return Unlearned(weights, tuple(losses), gate)


def learning_rate(step: int, config: UnlearnConfig) -> float:
    """Share of `config.lr` at `step`: linear warm-up, then a cosine down to a tenth."""
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    done = step / max(1, config.steps)
    return rise * (0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2)


def _is_due(step: int, config: UnlearnConfig) -> bool:
    return step % config.checkpoint_every == 0 or step == config.steps


def _save(
    path: Path,
    key: str,
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    losses: list[Loss],
) -> None:
    tensors: dict[str, Tensor] = {}
    for name, p in parameters.items():
        tensors[f"{name}/value"] = p.detach().contiguous()
        for slot, value in optimizer.state[p].items():
            tensors[f"{name}/{slot}"] = torch.as_tensor(value).contiguous()
    metadata = {"key": key, "losses": json.dumps(losses)}
    write_atomically(path, lambda tmp: save_file(tensors, tmp, metadata))


def _restore(
    path: Path,
    key: str,
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> list[Loss]:
    """Load parameters and optimizer from `path`; returns the losses so far ([] to start anew)."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("key") != key:
                return []
            slots = ("value", "step", "exp_avg", "exp_avg_sq")
            kept = {n: {s: file.get_tensor(f"{n}/{s}") for s in slots} for n in parameters}
        losses = [(int(s), float(f), float(r)) for s, f, r in json.loads(metadata["losses"])]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return []  # absent or damaged
    for name, p in parameters.items():
        p.data.copy_(kept[name].pop("value"))
        optimizer.state[p] = {
            slot: value.to("cpu" if slot == "step" else p.device)
            for slot, value in kept[name].items()
        }
    return losses
