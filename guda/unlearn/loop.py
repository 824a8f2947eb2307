"""The training loop of one counterfactual, resumable at any step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from .. import checkpoints
from ..anchors import context as anchor_context
from ..backbone import Backbone, LoraWeights, training_attention
from ..checkpoints import Loss
from ..config import UnlearnConfig
from ..encoded import EncodedGroup, PromptTable
from ..errors import ConfigError, DivergedError
from ..groups import StyleGroups
from ..noise import seed_of
from ..steps import Step, Steps
from .gate import Gate, measure
from .operators import NEED_NEIGHBOURS, NEED_PROMPTS, OPERATORS
from .plan import make_batch, nearest_retain, plan_step


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
            losses = checkpoints.restore(checkpoint, key, parameters, optimizer)

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
            with training_attention(backbone.device):
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
                checkpoints.save(checkpoint, key, parameters, optimizer, losses)
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
